"""However a run ends, the console says so, the exit code says so, and what it began is undone.

Stand-in steps; real processes, signals and Dagster. What the steps themselves undo is tested with the releases.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import stand_in_project
from tests.support.engine import ROOT
from tests.support.stand_in_steps import StandInSteps

MODULE = "tests.support.stand_in_definitions"


class Site:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: StandInSteps = stand_in_project.create(root)

    def environ(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEX_OPS_", "STAND_IN_"))}
        home = {"DAGSTER_HOME": str(self.root / ".dagster"), "CORTEX_OPS_PROJECT": str(self.root)}
        return {**kept, **home, "PYTHONPATH": str(ROOT), **more}

    def start(self, job: str = "release", module: str = MODULE, **more: str) -> subprocess.Popen[str]:
        tags = json.dumps({"dagster/partition": "local"})
        argv = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute", "-m", module, "-j", job]
        return subprocess.Popen(
            [*argv, "--tags", tags],
            cwd=self.root, env=self.environ(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def end(self, run: subprocess.Popen[str]) -> tuple[int, list[str]]:
        out, _ = run.communicate(timeout=60)
        return run.returncode, out.strip().splitlines()

    def wait_for(self, call: str) -> None:
        until = time.monotonic() + 40
        while call not in self.steps.calls():
            assert time.monotonic() < until, self.steps.calls()
            time.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield Site(tmp_path / "site")


def assert_plain(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert "Traceback" not in text and "DEBUG" not in text and "Stack Trace" not in text, text


def test_a_good_release_exits_0_and_shows_only_what_people_read(site: Site) -> None:
    code, lines = site.end(site.start())
    assert code == 0
    assert lines == [
        "✓ 5 images, 5 built now (1.5 s)", "✓ local: r7 is live, tested and recorded", "  api: http://127.0.0.1:8080",
    ]  # fmt: skip


def test_a_failed_one_names_its_cause_in_the_last_lines_and_its_log_in_the_last_but_one(site: Site) -> None:
    site.steps.script(fail={"rollout": "the engine is stopped"})
    code, lines = site.end(site.start())
    assert code != 0 and "✗ release failed: the engine is stopped" in lines[-5:]
    assert_plain(lines)
    log = Path(lines[-2].split()[-1])
    assert "Stack Trace" in log.read_text(), "what people are spared is kept"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_end_undoes_what_it_began_and_says_so(site: Site, number: signal.Signals) -> None:
    site.steps.script(hang=["integration_tests"])
    run = site.start()
    site.wait_for("integration_tests local")
    run.send_signal(number)
    code, lines = site.end(run)
    assert code != 0 and site.steps.calls()[-1] == "interrupt local"
    assert "✗ release was told to end before it was done; what it began is undone" in lines[-5:]
    assert_plain(lines)


def test_a_second_signal_does_not_cut_the_undoing_short(site: Site) -> None:
    site.steps.script(hang=["rollout"], slow_interrupt=3)
    run = site.start()
    site.wait_for("rollout local")
    run.send_signal(signal.SIGTERM)
    site.wait_for("interrupt local")
    run.send_signal(signal.SIGTERM)
    code, _ = site.end(run)
    assert code != 0 and site.steps.calls()[-1] == "interrupted local"


def test_a_signal_between_two_steps_undoes_too(site: Site) -> None:
    code, lines = site.end(site.start(STAND_IN_SIGNAL='STEP_SUCCESS - Finished execution of step "rollout"'))
    assert code != 0 and site.steps.calls()[-2:] == ["rollout local", "interrupt local"]
    assert_plain(lines)


def test_a_signal_before_anything_was_begun_has_nothing_to_undo(site: Site) -> None:
    site.steps.script(hang=["build"])
    run = site.start()
    site.wait_for("build local")
    run.send_signal(signal.SIGTERM)
    code, lines = site.end(run)
    assert code != 0 and "interrupt local" not in site.steps.calls()
    assert "✗ release was told to end before it was done; it had changed nothing" in lines[-5:]


def test_a_killed_run_is_marked_failed_by_the_next_one(site: Site) -> None:
    site.steps.script(hang=["build"])
    run = site.start()
    site.wait_for("build local")
    run.kill()
    run.communicate(timeout=20)
    site.steps.script()
    assert site.end(site.start("health"))[0] == 0
    query = (
        "import dagster as dg\nfor run in dg.DagsterInstance.get().get_runs(): print(run.job_name, run.status.value)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", query], env=site.environ(), capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split("\n")[:-1]) == ["health SUCCESS", "release FAILURE"]


def test_a_full_disk_under_dagsters_own_storage_undoes_too_and_is_one_sentence(site: Site) -> None:
    code, lines = site.end(site.start(STAND_IN_DISK_FULL='STEP_SUCCESS - Finished execution of step "rollout"'))
    assert code != 0 and "interrupt local" in site.steps.calls()
    assert_plain(lines)
    assert any("database or disk is full" in line for line in lines[-5:]), lines
    assert "Traceback" in Path(lines[-1].split()[-1]).read_text()
