"""A run's events are written without a new connection and a disk flush each, and are there for the next process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance
from dagster._core.instance.ref import InstanceRef
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from cortex_ops.defs import event_log
from cortex_ops.defs.event_log import EventLog, Storage


@pytest.fixture
def one_run() -> Iterator[None]:
    event_log.executing_one_run()
    try:
        yield
    finally:
        event_log._one_run.clear()
        event.remove(Engine, "connect", event_log._flush_rarely)


def instance(home: Path) -> DagsterInstance:
    """As Dagster makes it of the project's own `dagster.yaml`."""
    overrides = {
        "storage": {
            "custom": {"module": "cortex_ops.defs.event_log", "class": "Storage", "config": {"base_dir": str(home)}}
        }
    }
    home.mkdir(exist_ok=True)
    return DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))


@dg.asset
def thing() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"size": 7}, tags={"colour": "red"})


@dg.asset_check(asset=thing)
def thing_is_whole() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def execute(home: Path) -> tuple[DagsterInstance, str]:
    made = instance(home)
    job = dg.Definitions(assets=[thing], asset_checks=[thing_is_whole]).get_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=made)
    return made, result.run_id


def test_dagsters_own_storage_reads_what_a_run_has_written(tmp_path: Path, one_run: None) -> None:
    made, run_id = execute(tmp_path / "home")
    assert isinstance(made.event_log_storage, EventLog)
    plain = DagsterInstance.from_ref(InstanceRef.from_dir(str(tmp_path / "home")))
    assert not isinstance(plain.event_log_storage, EventLog)
    written = [one.dagster_event_type for one in made.all_logs(run_id)]
    assert written == [one.dagster_event_type for one in plain.all_logs(run_id)] and len(written) > 10
    record = plain.get_latest_materialization_event(dg.AssetKey("thing"))
    assert record is not None and record.asset_materialization is not None
    assert record.asset_materialization.metadata["size"].value == 7
    checks = plain.event_log_storage.get_asset_check_execution_history(thing_is_whole.check_key, limit=5)
    assert [check.status.value for check in checks] == ["SUCCEEDED"]


def test_one_run_opens_each_file_of_events_a_few_times_and_not_for_every_event(tmp_path: Path, one_run: None) -> None:
    opened: list[str] = []

    def note(connection: object, _record: object) -> None:
        opened.append(str(connection.execute("PRAGMA database_list").fetchone()[2]))  # type: ignore[attr-defined]

    execute(tmp_path / "home")  # makes the tables
    event.listen(Engine, "connect", note)
    try:
        _, run_id = execute(tmp_path / "home")
    finally:
        event.remove(Engine, "connect", note)
    for name in (f"{run_id}.db", "index.db"):
        # A few to see whether its tables are the newest; Dagster's own opens the index 21 times for these events.
        assert 1 <= sum(path.endswith(name) for path in opened) <= 8, opened


def test_a_kept_connection_flushes_as_wal_needs_it(tmp_path: Path, one_run: None) -> None:
    made, run_id = execute(tmp_path / "home")
    with made.event_log_storage.run_connection(run_id) as connection:  # type: ignore[attr-defined]
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1  # NORMAL
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"


def test_a_process_that_looks_at_many_runs_keeps_two_files_open(tmp_path: Path, one_run: None) -> None:
    log = EventLog(str(tmp_path / "runs"))
    for number in range(20):
        log.get_logs_for_run(f"run-{number}")
    assert len(log._kept) <= 2


def test_a_page_or_a_daemon_keeps_nothing_open(tmp_path: Path) -> None:
    log = Storage(str(tmp_path)).event_log_storage
    assert isinstance(log, EventLog)
    log.get_logs_for_run("a")
    log.has_secondary_index("asset_key_table")
    assert log._kept == {}


def test_threads_take_turns_at_a_kept_connection(tmp_path: Path, one_run: None) -> None:
    log, failed = EventLog(str(tmp_path / "runs")), []

    def read() -> None:
        try:
            for _ in range(30):
                log.get_logs_for_run("a")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert failed == []


def test_another_kind_of_database_is_left_as_it_is() -> None:
    class Postgres:
        def execute(self, *_args: object) -> None:
            raise AssertionError("asked")

    event_log._flush_rarely(Postgres(), None)
