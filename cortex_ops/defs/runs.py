"""Dagster's own records of runs: whose process each is, which ended without saying so, which are too old.

Only this instance's bookkeeping. What a dead run left on a target is settled by the release machine.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg

from cortex_ops.defs.console import append, log_file
from cortex_ops.kernel.process import process_start

PROCESS = "cortex/process"
SILENT_START = timedelta(minutes=5)
KEEP_DAYS = 30
KEEP_NEWEST = 20
_stamped: set[str] = set()


def stamp(instance: dg.DagsterInstance, run_id: str) -> None:
    """Record once which process executes the run, and settle the records of runs whose process is gone."""
    if run_id in _stamped:
        return
    _stamped.add(run_id)
    try:
        instance.add_run_tags(run_id, {PROCESS: f"{socket.gethostname()} {os.getpid()} {process_start(os.getpid())}"})
        reconcile(instance, but=run_id)
    except Exception as error:  # bookkeeping must not fail a release
        append(run_id, f"could not record or reconcile runs: {error}")


def reconcile(instance: dg.DagsterInstance, *, but: str = "") -> list[str]:
    """Mark as failed every started run whose process is gone; returns their ids.

    Dagster cannot see that itself: its default launcher has no health check, and `dagster job execute` has no
    launcher at all. Runs of other hosts are not judged.
    """
    open_runs = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    dead = []
    for record in instance.get_run_records(open_runs):
        run = record.dagster_run
        if run.run_id == but:
            continue
        if why := _gone(run.tags.get(PROCESS, ""), record.update_timestamp):
            instance.report_run_failed(run, f"The run ended without saying so: {why}.")
            dead.append(run.run_id)
    return dead


def _gone(process: str, seen: datetime) -> str:
    """Why the run can no longer be alive; empty when it may be."""
    if not process:
        seen = seen if seen.tzinfo else seen.replace(tzinfo=UTC)
        silent = datetime.now(UTC) - seen > SILENT_START
        return "it never began its first step" if silent else ""
    host, pid, started = process.split(" ", 2)
    if host != socket.gethostname() or process_start(int(pid)) == started:
        return ""
    return f"process {pid} is gone"


def tidy(instance: dg.DagsterInstance, *, days: int = KEEP_DAYS) -> list[str]:
    """Delete old runs with their events and logs; the newest of each job and environment stay, however old."""
    before = datetime.now(UTC) - timedelta(days=days)
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(statuses=ended))  # newest first
    removed = _delete(instance, obsolete(records, before))
    return [f"{removed} runs older than {days} days"] if removed else []


def obsolete(records: Iterable[dg.RunRecord], before: datetime) -> list[str]:
    """Run ids to delete. Pure; `records` newest first."""
    seen: Counter[tuple[str, str]] = Counter()
    out = []
    for record in records:
        run = record.dagster_run
        kind = (run.job_name, run.tags.get("dagster/partition", ""))
        seen[kind] += 1
        made = record.create_timestamp
        made = made if made.tzinfo else made.replace(tzinfo=UTC)
        if seen[kind] > KEEP_NEWEST and made < before:
            out.append(run.run_id)
    return out


def _delete(instance: dg.DagsterInstance, run_ids: list[str]) -> int:
    for run_id in run_ids:
        instance.delete_run(run_id)
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        log_file(run_id).unlink(missing_ok=True)
    return len(run_ids)
