"""Schedules: backup, drill, health, upkeep. Running by default, because a stopped backup schedule looks fine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg

from cortex_ops.defs.step import PARTITION
from cortex_ops.stack.environments import deployed, resolve
from cortex_ops.stack.schema import Stack

HEALTH = "*/10 * * * *"
UPKEEP = "30 4 * * *"


def schedules(stack: Stack, crons: dict[str, str] | None = None) -> list[dg.ScheduleDefinition]:
    """One per job; each tick asks for a run per environment. `crons` overrides by job (tests)."""
    chosen = {"health": HEALTH, "upkeep": UPKEEP}
    if stack.backup is not None:
        chosen |= {"backup": stack.backup.schedule, "restore_drill": stack.backup.drill_schedule}
    chosen |= crons or {}
    return [_schedule(job, cron, stack) for job, cron in chosen.items()]


def _schedule(job: str, cron: str, stack: Stack) -> dg.ScheduleDefinition:
    wants_backup = job in ("backup", "restore_drill")
    names = [n for n in deployed(stack) if not wants_backup or resolve(stack, n).backup is not None]

    return dg.ScheduleDefinition(
        name=f"{job}_schedule",
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        execution_fn=_requests(names, cron),
        description=f"{job} of {', '.join(names)}, for environments that have a live release",
    )


def _requests(names: list[str], cron: str) -> Callable[[dg.ScheduleEvaluationContext], Any]:
    def execution(context: dg.ScheduleEvaluationContext) -> Any:
        from cortex_ops.wiring import wire

        w = wire()
        live = [name for name in names if w.history(name).live() is not None]
        if not live:
            return dg.SkipReason("no environment has a live release yet")
        moment = context.scheduled_execution_time.strftime("%Y%m%dT%H%M")
        return [dg.RunRequest(run_key=f"{name}-{moment}", tags={PARTITION: name}) for name in live]

    return execution
