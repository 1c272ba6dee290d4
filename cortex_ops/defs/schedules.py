"""Backup, drill, health, upkeep: running by default, because a stopped backup schedule looks like a working one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from cortex_ops.defs.jobs import CHANGING
from cortex_ops.defs.seam import Seam
from cortex_ops.defs.step import CHANGES, PARTITION
from cortex_ops.stack.environments import deployed, resolve

HEALTH = "*/10 * * * *"
UPKEEP = "30 4 * * *"


def schedules(seam: Seam, crons: dict[str, str] | None = None) -> list[dg.ScheduleDefinition]:
    """One per job; each tick asks for a run per environment. `crons` overrides by job."""
    chosen = {"health": HEALTH, "upkeep": UPKEEP}
    if seam.stack.backup is not None:
        chosen |= {"backup": seam.stack.backup.schedule, "restore_drill": seam.stack.backup.drill_schedule}
    chosen |= crons or {}
    return [_schedule(job, cron, seam) for job, cron in chosen.items()]


def _schedule(job: str, cron: str, seam: Seam) -> dg.ScheduleDefinition:
    wants_backup = job in ("backup", "restore_drill")
    names = [n for n in deployed(seam.stack) if not wants_backup or resolve(seam.stack, n).backup is not None]
    return dg.ScheduleDefinition(
        name=f"{job}_schedule",
        job_name=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        execution_fn=_requests(job, names, seam),
        description=f"{job} of {', '.join(names)}: of each that has a live release.",
    )


def _requests(job: str, names: list[str], seam: Seam) -> Callable[[dg.ScheduleEvaluationContext], Any]:
    def execution(context: dg.ScheduleEvaluationContext) -> Iterator[Any]:  # a list would be refused at the tick
        w = seam.look()
        live = [name for name in names if w.history(name).live() is not None]
        if not live:
            yield dg.SkipReason("no environment has a live release yet")
        moment = context.scheduled_execution_time.strftime("%Y%m%dT%H%M")
        for name in live:
            turn = {CHANGES: name} if job in CHANGING else {}
            yield dg.RunRequest(run_key=f"{name}-{moment}", tags={PARTITION: name, **turn})

    return execution
