"""Backups and the proof that they restore, as assets of each environment that has them."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from cortex_ops import pipeline
from cortex_ops.defs.step import SET, WireFor, environment, running
from cortex_ops.kernel.names import asset_name
from cortex_ops.stack.schema import Stack

BACKUP_SET = dg.AssetKey(["backups", "set"])
DRILL = dg.AssetKey("restore_drill")


def store_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["backups", asset_name(name)])


def backup_assets(stack: Stack, envs: dg.PartitionsDefinition, wire_for: WireFor) -> list[dg.AssetsDefinition]:
    assert stack.backup is not None
    names = list(stack.backup.stores)

    @dg.multi_asset(
        name="backups",
        group_name="backups",
        partitions_def=envs,
        specs=[
            *(
                dg.AssetSpec(
                    store_key(name),
                    deps=[dg.AssetKey("release")],
                    kinds={stack.stores[name].kind},
                    description=f"{name}, dumped by its own image, compressed and encrypted while streaming.",
                )
                for name in names
            ),
            dg.AssetSpec(
                BACKUP_SET,
                deps=[store_key(name) for name in names],
                description="The signed manifest that makes a backup: written last, never overwritten.",
            ),
        ],
    )
    def backups(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, wire_for) as w:
            result = pipeline.backup(w, environment(context, w))
            for part in result.parts:
                yield dg.MaterializeResult(
                    store_key(part.store),
                    metadata={
                        "stored bytes": part.stored_bytes,
                        "rows": part.rows,
                        "seconds": part.seconds,
                        "sha256": part.sha256,
                    },
                )
            w.progress.say(f"✓ backup {result.set_id} is complete and signed", style="bold green")
            yield dg.MaterializeResult(
                BACKUP_SET,
                metadata={
                    "set": result.set_id,
                    "data of": result.data_time,
                    "stored bytes": result.stored_bytes,
                    "seconds": result.seconds,
                },
            )

    @dg.multi_asset(
        name="restore_drill",
        group_name="backups",
        partitions_def=envs,
        specs=[
            dg.AssetSpec(
                DRILL,
                deps=[BACKUP_SET],
                description="The newest set, restored into a throwaway container and compared with what was dumped.",
            )
        ],
        check_specs=[dg.AssetCheckSpec("proven", asset=DRILL, partitions_def=envs)],
    )
    def restore_drill(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, wire_for) as w:
            result = pipeline.drill(w, environment(context, w), context.run.tags.get(SET) or None)
            w.progress.say(
                f"✓ backup {result.set_id} is proven: restored in {result.recovery_seconds:.1f} s", style="bold green"
            )
            yield dg.MaterializeResult(
                DRILL,
                metadata={
                    "set": result.set_id,
                    "measured recovery time (s)": result.recovery_seconds,
                    "rows compared": result.rows,
                    "tables compared": result.tables,
                },
            )
            yield dg.AssetCheckResult(passed=True, check_name="proven", asset_key=DRILL)

    return [backups, restore_drill]
