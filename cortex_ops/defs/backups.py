"""Backups and the proof that they restore, as assets of each environment that has them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from cortex_ops.defs import metadata as md
from cortex_ops.defs.release import RELEASE
from cortex_ops.defs.seam import Seam
from cortex_ops.defs.step import SET, environment, running
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.names import asset_name

BACKUP_SET = dg.AssetKey(["backups", "set"])
DRILL = dg.AssetKey("restore_drill")


def store_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["backups", asset_name(name)])


def backup_assets(seam: Seam) -> list[dg.AssetsDefinition]:
    """Empty for a stack without backups."""
    return [_backups(seam), _drill(seam)] if seam.stack.backup is not None else []


def _backups(seam: Seam) -> dg.AssetsDefinition:
    assert seam.stack.backup is not None
    names = list(seam.stack.backup.stores)
    stores = [
        dg.AssetSpec(
            store_key(name),
            deps=[RELEASE],
            kinds={seam.stack.stores[name].kind},
            description=f"{name}, dumped by its own image, compressed and encrypted while streaming.",
        )
        for name in names
    ]
    whole = dg.AssetSpec(
        BACKUP_SET,
        deps=[store_key(name) for name in names],
        description="The signed manifest that makes a backup: written last, never overwritten.",
    )

    @dg.multi_asset(name="backups", group_name="backups", partitions_def=seam.environments, specs=[*stores, whole])
    def backups(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, seam) as w:
            result = seam.steps.backup(w, environment(context, seam, w))
            for part in result.parts:
                yield dg.MaterializeResult(store_key(part.store), metadata=md.of_part(part))
            w.progress.say(f"✓ backup {result.set_id} is complete and signed", style="bold green")
            for problem in result.problems:
                w.progress.say(f"  old sets: {problem}")
            yield dg.MaterializeResult(BACKUP_SET, metadata=md.of_backup(result))

    return backups


def _drill(seam: Seam) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="drill",  # an op may not carry a job's name
        group_name="backups",
        partitions_def=seam.environments,
        specs=[
            dg.AssetSpec(
                DRILL,
                deps=[BACKUP_SET],
                description="The newest set, restored into a throwaway container and compared with what was dumped.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "proven",
                asset=DRILL,
                partitions_def=seam.environments,
                description="Row counts and content checksums of the restored data equal those of the dump.",
            )
        ],
    )
    def restore_drill(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, seam) as w:
            env = environment(context, seam, w)
            try:
                result = seam.steps.drill(w, env, context.run.tags.get(SET) or None)
            except OpsError as error:
                yield dg.AssetCheckResult(
                    passed=False, check_name="proven", asset_key=DRILL, metadata={"cause": error.message}
                )
                raise
            w.progress.say(
                f"✓ backup {result.set_id} is proven: restored in {result.recovery_seconds:.1f} s", style="bold green"
            )
            yield dg.MaterializeResult(DRILL, metadata=md.of_drill(result))
            yield dg.AssetCheckResult(
                passed=True,
                check_name="proven",
                asset_key=DRILL,
                metadata={"set": result.set_id, "rows": result.rows, "tables": result.tables},
            )

    return restore_drill
