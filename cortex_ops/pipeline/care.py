"""Health, upkeep, backup and drill of what is live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.pipeline.images import image_table
from cortex_ops.pipeline.transaction import hold_lease_with, releaser
from cortex_ops.results import HealthStep, UpkeepStep
from cortex_ops.wiring import Wiring

if TYPE_CHECKING:
    from cortex_ops.backup import BackupResult, DrillResult


def health(w: Wiring, env: str) -> HealthStep:
    """Is it healthy, as deployed, from outside?"""
    from cortex_ops.health.check import check

    return check(w.environment(env), w.stack, w.target(env), w.history(env), w.store, w.clock)


def upkeep(w: Wiring, env: str) -> UpkeepStep:
    """Settle, end bakes, remove images, volumes and leftovers that nothing retained needs."""
    from cortex_ops.images import retention
    from cortex_ops.release.upkeep import tidy

    machine = releaser(w, env)
    live = machine.history.live()
    if live is not None:
        hold_lease_with(machine, live.intent.lock)
    step = tidy(machine)
    try:
        images = retention.apply(w.engine, image_table(w))
    except OpsError as error:
        images = retention.Removed(problems=(f"images: {error.message}",))
    return UpkeepStep(removed=step.removed + images.removed, problems=step.problems + images.problems)


def backup(w: Wiring, env: str) -> BackupResult:
    """Back up the environment's stores; published only when complete and signed."""
    from cortex_ops.backup import run_backup

    return run_backup(_backup_context(w, env))


def drill(w: Wiring, env: str, set_id: str | None = None) -> DrillResult:
    """Restore a set into a throwaway container, assert its content, measure the recovery time."""
    from cortex_ops.backup.drill import run_drill

    return run_drill(_backup_context(w, env), set_id)


def _backup_context(w: Wiring, env: str) -> Any:
    from cortex_ops.backup import BackupContext

    if w.environment(env).target == "kubernetes":
        raise RefusedError(
            f"{env} is on a cluster, whose stores this version does not back up",
            remedy="back its claims up with the cluster's own means (volume snapshots, pg_dump in a job)",
        )
    live = w.history(env).live()
    if live is None:
        raise RefusedError(f"{env} has no live release, so there is nothing to back up", remedy="release first")
    return BackupContext(
        settings=w.settings,
        engine=w.engine,
        store=w.store,
        stack=w.stack,
        environment=env,
        prefix=w.prefix(env),
        lock=live.intent.lock,
        release=live.seq,
        clock=w.clock,
        progress=w.progress,
        run_id=w.run_id,
    )
