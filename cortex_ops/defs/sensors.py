"""What the page learns by itself: runs that failed, runs that died, releases that were made elsewhere."""

import json
from typing import Any

import dagster as dg

from cortex_ops.defs import metadata as md
from cortex_ops.defs import runs
from cortex_ops.defs.release import RELEASE
from cortex_ops.defs.seam import Seam
from cortex_ops.defs.step import PARTITION
from cortex_ops.kernel.clock import SYSTEM, iso
from cortex_ops.kernel.redact import redact
from cortex_ops.release.records import Record
from cortex_ops.stack.environments import deployed
from cortex_ops.wiring import Wiring

EVERY = 30  # seconds
FIRST_LOOK = 5  # releases that a new page is told of, newest first


def sensors(seam: Seam) -> list[dg.SensorDefinition]:
    return [failed_runs(seam), dead_runs(), releases_elsewhere(seam)]


def failed_runs(seam: Seam) -> dg.SensorDefinition:
    alerts = seam.settings.state / "alerts.jsonl"

    @dg.run_failure_sensor(
        name="failed_runs",
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Adds a line with the cause of every failed run to `alerts.jsonl` in the state folder.",
    )
    def failed(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        alert = {
            "at": iso(SYSTEM.now()),
            "job": run.job_name,
            "environment": run.tags.get(PARTITION, ""),
            "run": run.run_id,
            "cause": redact(_cause(context)),
        }
        alerts.parent.mkdir(parents=True, exist_ok=True)
        with alerts.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(alert, ensure_ascii=False) + "\n")
        context.log.error(f"{run.job_name} {alert['environment']} failed: {alert['cause']}")

    return failed


def _cause(context: dg.RunFailureSensorContext) -> str:
    """The failed step's own sentence; Dagster's where no step says one."""
    for event in context.get_step_failure_events():
        data = event.step_failure_data.user_failure_data
        if data is not None and data.description:
            return data.description.splitlines()[0]
    return (context.failure_event.message or "no cause was given").splitlines()[0]


def dead_runs() -> dg.SensorDefinition:
    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs as failed whose process is gone, so that they hold up nothing in the queue.",
    )
    def dead(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        found = runs.reconcile(context.instance)
        return dg.SkipReason(f"marked as failed: {', '.join(found)}" if found else "every started run is alive")

    return dead


def releases_elsewhere(seam: Seam) -> dg.SensorDefinition:
    @dg.sensor(
        name="releases_elsewhere",
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Shows here what CI, another page or `cortex-ops rollback` released: reports it to `release`.",
    )
    def elsewhere(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor: dict[str, int] = json.loads(context.cursor or "{}")
        events: list[Any] = []
        w = seam.look()
        for env in deployed(seam.stack):
            found, cursor[env] = _news(context.instance, w, env, cursor.get(env))
            events += [_event(record) for record in found]
        return dg.SensorResult(
            asset_events=events,
            cursor=json.dumps(cursor),
            skip_reason=None if events else "nothing new",
        )

    return elsewhere


def _news(instance: dg.DagsterInstance, w: Wiring, env: str, since: int | None) -> tuple[list[Record], int]:
    """Promoted releases that this page does not show yet, and the sequence up to which all is said.

    Stops before a release that is not finished: what becomes of it is said later.
    """
    history = w.history(env)
    sequences = history.sequences()
    said = since if since is not None else (sequences[-FIRST_LOOK - 1] if len(sequences) > FIRST_LOOK else 0)
    found = []
    for seq in [one for one in sequences if one > said]:
        record = history.record(seq)
        shown = _shown_here(instance, record.intent.run_id)
        if record.outcome is None or shown is None:
            break
        if record.outcome.state == "promoted" and not shown:
            found.append(record)
        said = seq
    return found, said


def _shown_here(instance: dg.DagsterInstance, run_id: str) -> bool | None:
    """Whether the run was ours and has shown its release; None while it may still do so."""
    run = instance.get_run_by_id(run_id)
    if run is None:
        return False
    if not run.is_finished:
        return None
    made = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    return any(one.asset_key == RELEASE for one in made)


def _event(record: Record) -> dg.AssetMaterialization:
    intent = record.intent
    kind = "Rolled back" if intent.kind == "rollback" else "Released"
    return dg.AssetMaterialization(
        RELEASE,
        partition=intent.environment,
        description=f"{kind} elsewhere by {intent.actor}.",
        metadata=md.of_record(record),
    )
