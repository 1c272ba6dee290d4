"""Set-up brings an engine only where there is none, and one that was killed comes back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.setup.engine import BareEngine, cache_folder, version_at
from tests.support.engine import ROOT, record

pytestmark = pytest.mark.skipif(
    record()["kind"] != "bare", reason="private engines need the programs that only a bare machine gets"
)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[BareEngine]:
    runtime = Path(f"/run/cortex-ops-test-{os.getpid()}")
    engine = BareEngine(cache_folder(), home=tmp_path / "home", runtime=runtime, isolated=True)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        # A killed daemon leaves its data folder mounted on itself.
        subprocess.run(["umount", str(engine.home / "docker")], capture_output=True, check=False)
        shutil.rmtree(runtime, ignore_errors=True)


def kill(engine: BareEngine) -> None:
    for daemon in (engine.dockerd(), engine.containerd()):
        os.kill(int(daemon.pid_file.read_text().split()[0]), signal.SIGKILL)


def test_an_engine_that_was_killed_is_started_again(private: BareEngine) -> None:
    assert version_at(private.host)
    kill(private)
    private.start()
    assert version_at(private.host)


def test_an_engine_that_runs_is_used_and_nothing_is_started_or_installed(private: BareEngine, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    shutil.copytree(ROOT / "deploy", project / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "dagster.yaml", project / "dagster.yaml")
    found = record()
    path = f"{Path(found['docker']).parent}:/usr/bin:/bin"
    env = {**os.environ, "DOCKER_HOST": private.host, "DOCKER_CONFIG": found["config_dir"], "PATH": path}
    installed = Path("/var/lib/dpkg/status").read_bytes()
    before = processes()
    done = subprocess.run(
        [sys.executable, "-m", "deploy.setup", "all"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"using the engine at {private.host}" in done.stderr
    written = json.loads((project / ".cortex" / "engine.json").read_text())
    assert (written["host"], written["kind"]) == (private.host, "found")
    assert processes() == before
    assert Path("/var/lib/dpkg/status").read_bytes() == installed


def processes() -> set[str]:
    """Daemons by pid."""
    names = ("dockerd", "containerd", "docker-registry")
    out = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() in names:
                out.add(entry.name)
        except OSError:
            continue
    return out


def test_without_an_engine_and_without_rights_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    script = (
        "import deploy.setup.engine as e, deploy.setup.debian as d, pathlib\n"
        "e.find = lambda: ''\ne.version_at = lambda host: ''\nd.is_bare_debian = lambda: False\n"
        "try:\n e.ensure_engine(pathlib.Path('.'))\n"
        "except e.SetupError as error:\n print(error.message); print(error.remedy)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "no Docker engine answers" in done.stdout and "install Docker Engine" in done.stdout
