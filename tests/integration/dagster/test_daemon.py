"""A real `dagster-daemon`: schedules fire, sensors tell, dead runs are noticed, the queue takes turns.

Stand-in steps; the daemon, its code server, its queue and the runs that it launches are real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cortex_ops.kernel.settings import load_settings
from cortex_ops.release.history import History
from cortex_ops.wiring import wire
from tests.support import stand_in_project
from tests.support.engine import ROOT
from tests.support.stand_in_steps import StandInSteps, record

MODULE = "tests.support.stand_in_definitions"
RUNS = """
import dagster as dg, json
rows = [
    dict(id=r.run_id, job=r.job_name, status=r.status.value, tags=r.tags) for r in dg.DagsterInstance.get().get_runs()
]
print(json.dumps(rows))
"""
EVENTS = """
import dagster as dg, json
found = dg.DagsterInstance.get().fetch_materializations(dg.AssetKey("release"), limit=50).records
print(json.dumps([[r.partition_key, r.asset_materialization.metadata["release"].value, r.run_id] for r in found]))
"""


class Site:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: StandInSteps = stand_in_project.create(root)
        self.settings = load_settings({"CORTEX_OPS_PROJECT": str(root), "PATH": os.environ["PATH"]})
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEX_OPS_", "STAND_IN_"))}
        self.env = {
            **kept,
            "DAGSTER_HOME": str(root / ".dagster"),
            "CORTEX_OPS_PROJECT": str(root),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore",
            "STAND_IN_CRON": "* * * * *",
        }

    def promoted(self, env: str, seq: int) -> None:
        """Into the history, as another machine would."""
        one = record(env, seq)
        assert one.outcome is not None
        history = History(wire(self.settings).store, env)
        history.store.put_if_absent(f"releases/{env}/{seq:06d}/intent.json", one.intent.to_json())
        history.finish(seq, one.outcome)

    def ask(self, code: str) -> list:  # type: ignore[type-arg]
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.env, capture_output=True, text=True, check=True, timeout=60
        )
        return list(json.loads(done.stdout))

    def runs(self, job: str) -> list[dict]:  # type: ignore[type-arg]
        return [run for run in self.ask(RUNS) if run["job"] == job]

    def dagster(self, *args: str, deadline: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dagster", *args],
            cwd=self.root, env=self.env, capture_output=True, text=True, timeout=deadline, check=False,
        )  # fmt: skip


def eventually(what: Callable[[], bool], deadline: float, why: str) -> None:
    until = time.monotonic() + deadline
    while not what():
        assert time.monotonic() < until, why
        time.sleep(2)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("daemon") / "site")
    site.promoted("local", 1)
    site.steps.script(fail={"health": "it does not answer"})
    site.ask(RUNS)  # makes Dagster's tables: two processes that make them at once may both fail
    log = (site.root / "daemon.log").open("w")
    daemon = subprocess.Popen(
        [sys.executable, "-m", "dagster._daemon", "run", "-m", MODULE],
        cwd=site.root, env=site.env, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    try:
        yield site
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        log.close()


def test_a_release_made_elsewhere_shows_on_this_page(site: Site) -> None:
    eventually(lambda: ["local", "r1", ""] in [[e[0], e[1], e[2] or ""] for e in site.ask(EVENTS)], 90, "not told")


def test_the_backup_schedule_fires_by_itself_for_the_environment_that_is_live(site: Site) -> None:
    def backed_up() -> bool:
        return any(run["status"] == "SUCCESS" for run in site.runs("backup"))

    eventually(backed_up, 150, (site.root / "daemon.log").read_text()[-2000:])
    assert {run["tags"]["dagster/partition"] for run in site.runs("backup")} == {"local"}
    assert "backup local" in site.steps.calls()


def test_a_failed_run_leaves_an_alert_with_its_cause(site: Site) -> None:
    path = site.root / ".cortex" / "alerts.jsonl"
    eventually(path.is_file, 150, (site.root / "daemon.log").read_text()[-2000:])
    alert = json.loads(path.read_text().splitlines()[0])
    assert (alert["job"], alert["environment"], alert["cause"]) == ("health", "local", "it does not answer")


def test_of_two_runs_that_change_an_environment_the_queue_starts_one(site: Site) -> None:
    site.steps.script(hang=["upkeep"], fail={"health": "it does not answer"})
    tags = json.dumps({"dagster/partition": "local", "cortex/changes": "local"})
    for _ in range(2):
        launched = site.dagster("job", "launch", "-m", MODULE, "-j", "upkeep", "--tags", tags)
        assert launched.returncode == 0, launched.stderr

    def states() -> list[str]:
        return sorted(run["status"] for run in site.runs("upkeep"))

    eventually(lambda: "STARTED" in states(), 90, str(states()))
    time.sleep(8)
    assert states() == ["QUEUED", "STARTED"]


def test_a_killed_run_is_marked_failed_so_that_the_queue_goes_on(site: Site) -> None:
    (running,) = [run for run in site.runs("upkeep") if run["status"] == "STARTED"]
    eventually(lambda: "cortex/process" in site.runs("upkeep")[-1]["tags"], 30, "the run never said whose it is")
    (running,) = [run for run in site.runs("upkeep") if run["id"] == running["id"]]
    site.steps.script(fail={"health": "it does not answer"})
    os.kill(int(running["tags"]["cortex/process"].split()[1]), signal.SIGKILL)

    def went_on() -> bool:
        states = {run["id"]: run["status"] for run in site.runs("upkeep")}
        return states.pop(running["id"]) == "FAILURE" and "SUCCESS" in states.values()

    eventually(went_on, 120, str(site.runs("upkeep")))
