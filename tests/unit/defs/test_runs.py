"""Runs that died are noticed, old ones go, and what a run began is undone however it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from cortex_ops.defs import runs, transaction
from cortex_ops.kernel.process import process_start
from cortex_ops.kernel.progress import Progress
from tests.unit.defs.conftest import Place


def started(place: Place, process: str = "", job: str = "release") -> str:
    tags = {runs.PROCESS: process} if process else {}
    run = place.instance.create_run_for_job(
        place.definitions.resolve_job_def(job), status=dg.DagsterRunStatus.STARTED, tags=tags
    )
    return run.run_id


def status(place: Place, run_id: str) -> dg.DagsterRunStatus:
    run = place.instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def this(pid: int, start: object) -> str:
    return f"{socket.gethostname()} {pid} {start}"


def test_a_started_run_whose_process_is_gone_is_marked_failed(place: Place) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = started(place, this(gone.pid, 123))
    reused = started(place, this(os.getpid(), "another start"))
    alive = started(place, this(os.getpid(), process_start(os.getpid())))
    elsewhere = started(place, "another-host 1 1")
    just_begun = started(place)
    assert sorted(runs.reconcile(place.instance)) == sorted([dead, reused])
    assert status(place, dead) == status(place, reused) == dg.DagsterRunStatus.FAILURE
    for run_id in (alive, elsewhere, just_begun):
        assert status(place, run_id) == dg.DagsterRunStatus.STARTED


def test_a_run_that_never_began_a_step_is_given_up_after_a_while(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = started(place)
    monkeypatch.setattr(runs, "SILENT_START", timedelta(seconds=-1))
    assert runs.reconcile(place.instance) == [silent]


def test_every_run_says_whose_process_it_is_and_reconciles_the_dead(place: Place) -> None:
    dead = started(place, this(2**22 + 1, 1))
    result = place.run("health")
    run = place.instance.get_run_by_id(result.run_id)
    assert run is not None and run.tags[runs.PROCESS].split()[1] == str(os.getpid())
    assert status(place, dead) == dg.DagsterRunStatus.FAILURE


def old(job: str, env: str, age_days: int, number: int) -> Any:
    made = datetime.now(UTC) - timedelta(days=age_days)
    run = SimpleNamespace(run_id=f"{job}-{env}-{number}", job_name=job, tags={"dagster/partition": env})
    return SimpleNamespace(dagster_run=run, create_timestamp=made)


def test_old_runs_go_but_for_the_newest_of_each_job_and_environment() -> None:
    health = [old("health", "local", 1 + number, number) for number in range(60)]  # newest first
    release = [old("release", "staging", 90, number) for number in range(3)]
    gone = runs.obsolete([*health, *release], datetime.now(UTC) - timedelta(days=30, hours=12))
    assert gone == [f"health-local-{number}" for number in range(30, 60)]


def test_a_deleted_run_leaves_neither_events_nor_its_log_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    done = place.run("health").run_id
    log = place.root / ".cortex" / "logs" / f"{done}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("x")
    monkeypatch.setattr(runs, "KEEP_NEWEST", 0)
    assert runs.tidy(place.instance, days=0) == ["1 runs older than 0 days"]
    assert place.instance.get_run_by_id(done) is None and not log.exists()
    assert not place.instance.get_records_for_run(done).records


def began(place: Place, run_id: str) -> list[str]:
    """Begin a transaction; returns where its lines go."""
    said: list[str] = []
    w = place.wiring(run_id, Progress(sink=said.append))
    transaction.begin(run_id, place.seam(), w, "local")
    return said


def test_what_is_open_at_the_end_of_a_run_is_undone_once(place: Place) -> None:
    began(place, "r")
    with pytest.raises(OSError, match="full"), transaction.supervised("r"):
        raise OSError("disk full")  # as when Dagster's own storage fails between two steps
    transaction.close("r")
    assert place.steps.calls() == ["interrupt local"]


def test_what_is_concluded_is_not_undone(place: Place) -> None:
    began(place, "r")
    with transaction.supervised("r"):
        transaction.conclude("r")
    assert place.steps.calls() == []


def test_while_the_run_is_supervised_a_failed_step_leaves_the_undoing_to_its_end(place: Place) -> None:
    began(place, "r")
    with transaction.supervised("r"):
        transaction.step_failed("r")
        assert place.steps.calls() == []
    assert place.steps.calls() == ["interrupt local"]


def test_an_interrupted_runs_last_lines_say_what_became_of_it(place: Place) -> None:
    said = began(place, "r")
    with transaction.supervised("r"):
        transaction.interrupted("r", Progress(sink=said.append), "release")
    assert said[-2] == "✗ release was told to end before it was done; what it began is undone"
    place.steps.script(fail={"interrupt": "the engine is stopped"})
    said = began(place, "r2")
    with transaction.supervised("r2"):
        transaction.interrupted("r2", Progress(sink=said.append), "release")
    assert "cortex-ops settle -e local" in said[-2] and "the engine is stopped" in said[-2]
