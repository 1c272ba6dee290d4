"""The jobs: selections of the graph, and those that are no assets (rollback, health, upkeep).

Every job of an environment is partitioned, so that the page offers its name instead of asking for a tag.
"""

from typing import Any

import dagster as dg

from cortex_ops.defs import metadata as md
from cortex_ops.defs import runs
from cortex_ops.defs.backups import BACKUP_SET, DRILL
from cortex_ops.defs.release import DRIFT, RELEASE, rejected_remedy
from cortex_ops.defs.seam import Seam
from cortex_ops.defs.step import CHANGES, TO, environment, failure, running
from cortex_ops.kernel.errors import InputError, OpsError

CHANGING = ("release", "rollback", "upkeep")


def partitioned(seam: Seam, job: str) -> Any:
    """No run configuration; for jobs that change an environment, the tag by which the queue takes turns."""
    return dg.PartitionedConfig(
        partitions_def=seam.environments,
        run_config_for_partition_key_fn=lambda _env: {},
        tags_for_partition_key_fn=lambda env: {CHANGES: env} if job in CHANGING else {},
    )


def asset_jobs(seam: Seam) -> list[Any]:
    jobs = [
        dg.define_asset_job(
            "build",
            dg.AssetSelection.groups("source", "images"),
            description="Build every image that changed and judge it. Changes no environment.",
        ),
        dg.define_asset_job(
            "release",
            dg.AssetSelection.assets(RELEASE).upstream(),
            partitions_def=seam.environments,
            config=partitioned(seam, "release"),
            description="Build, render, start beside what runs, test, then promote or roll back.",
        ),
    ]
    if seam.stack.backup is None:
        return jobs
    return [
        *jobs,
        dg.define_asset_job(
            "backup",
            dg.AssetSelection.assets(BACKUP_SET).upstream() & dg.AssetSelection.groups("backups"),
            partitions_def=seam.environments,
            config=partitioned(seam, "backup"),
            description="Dump, encrypt, publish with a signed manifest.",
        ),
        dg.define_asset_job(
            "restore_drill",
            dg.AssetSelection.assets(DRILL),
            partitions_def=seam.environments,
            config=partitioned(seam, "restore_drill"),
            description="Prove that the newest backup restores, and how long that takes.",
        ),
    ]


def op_jobs(seam: Seam) -> list[dg.JobDefinition]:
    ops = {"rollback": _rollback(seam), "health": _health(seam), "upkeep": _upkeep(seam)}
    return [
        dg.GraphDefinition(name=name, node_defs=[op]).to_job(
            name=name,
            description=op.description,
            config=partitioned(seam, name),
        )
        for name, op in ops.items()
    ]


def _rollback(seam: Seam) -> dg.OpDefinition:
    @dg.op(
        name="roll_back",
        description=f"Bring an earlier promoted release back: the one before the live one, or tag `{TO}`.",
    )
    def roll_back(context: dg.OpExecutionContext) -> None:
        with running(context, seam, begins=True, concludes=True) as w:
            env = environment(context, seam, w)
            wanted = context.run.tags.get(TO, "0")
            if not wanted.isdigit():
                raise InputError(f"tag {TO} is {wanted!r}, expected the number of a release")
            step = seam.steps.rollback(w, env, int(wanted))
            if not step.ok:
                raise failure(context, w, OpsError(step.message, remedy=rejected_remedy(env)))
            w.progress.say(f"✓ {step.message}", style="bold green")
            context.log_event(
                dg.AssetMaterialization(
                    RELEASE, partition=env, description="Brought back by a rollback.", metadata=md.of_release(step)
                )
            )

    return roll_back


def _health(seam: Seam) -> dg.OpDefinition:
    @dg.op(name="look", description="Is it healthy, as deployed, from outside?")
    def look(context: dg.OpExecutionContext) -> None:
        with running(context, seam) as w:
            env = environment(context, seam, w)
            step = seam.steps.health(w, env)
            for finding in step.findings:
                w.progress.say(f"{'✓' if finding.ok else '✗'} {finding.object}: {finding.message}")
            context.add_output_metadata(md.of_health(step))
            if step.drift is not None:
                context.log_event(dg.AssetObservation(DRIFT, partition=env, metadata=md.of_drift(step.drift)))
            bad = [f for f in step.findings if not f.ok]
            if not step.healthy:
                first = f"{bad[0].object}: {bad[0].message}" if bad else "no finding says why"
                raise OpsError(f"{env} is not healthy: {first}", remedy=bad[0].remedy if bad else "")

    return look


def _upkeep(seam: Seam) -> dg.OpDefinition:
    @dg.op(name="tidy", description="Settle, end bakes, remove what nothing retained needs; old runs too.")
    def tidy(context: dg.OpExecutionContext) -> None:
        with running(context, seam, begins=True, concludes=True) as w:
            env = environment(context, seam, w)
            step = seam.steps.upkeep(w, env)
            removed = [*step.removed, *runs.tidy(context.instance)]
            for line in removed:
                w.progress.say(f"  {line}")
            w.progress.say(f"✓ {env} is tidy", style="bold green")
            context.add_output_metadata(
                {"removed": md.points(removed), "objects removed": len(removed), "problems": md.points(step.problems)}
            )
            if step.problems:
                raise OpsError(step.problems[0], details=step.problems[1:])

    return tidy
