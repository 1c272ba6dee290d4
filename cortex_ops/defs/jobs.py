"""The jobs, and those that are no assets: rollback, health, upkeep."""

from typing import Any

import dagster as dg

from cortex_ops import pipeline
from cortex_ops.defs import metadata as md
from cortex_ops.defs.backups import BACKUP_SET, DRILL
from cortex_ops.defs.step import TO, WireFor, environment, failure, running
from cortex_ops.kernel.errors import InputError, OpsError


def asset_jobs(envs: dg.PartitionsDefinition, with_backups: bool) -> list[Any]:
    release = dg.AssetSelection.assets("release").upstream()
    jobs = [
        dg.define_asset_job(
            "build",
            dg.AssetSelection.groups("source", "images"),
            description="Build every image that changed and judge it. Changes no environment.",
        ),
        dg.define_asset_job(
            "release",
            release,
            partitions_def=envs,
            description="Build, render, start beside what runs, test, then promote or roll back.",
        ),
    ]
    if with_backups:
        jobs += [
            dg.define_asset_job(
                "backup",
                dg.AssetSelection.assets(BACKUP_SET).upstream() & dg.AssetSelection.groups("backups"),
                partitions_def=envs,
                description="Dump, encrypt, publish with a signed manifest.",
            ),
            dg.define_asset_job(
                "restore_drill",
                dg.AssetSelection.assets(DRILL),
                partitions_def=envs,
                description="Prove that the newest backup restores, and how long that takes.",
            ),
        ]
    return jobs


def op_jobs(wire_for: WireFor, envs: dg.PartitionsDefinition) -> list[dg.JobDefinition]:
    @dg.op(name="rollback", description="Bring an earlier promoted release back (tag `cortex/to`: its number).")
    def rollback_op(context: dg.OpExecutionContext) -> None:
        with running(context, wire_for, leased=True) as w:
            wanted = context.run.tags.get(TO, "0")
            if not wanted.isdigit():
                raise InputError(f"tag {TO} is {wanted!r}, expected the number of a release")
            step = pipeline.rollback(w, environment(context, w), int(wanted))
            if not step.ok:
                raise failure(context, w, OpsError(step.message))
            w.progress.say(f"✓ {step.message}", style="bold green")
            context.add_output_metadata(md.of_release(step))

    @dg.op(name="health", description="Is it healthy, as deployed, from outside?")
    def health_op(context: dg.OpExecutionContext) -> None:
        with running(context, wire_for) as w:
            env = environment(context, w)
            step = pipeline.health(w, env)
            for finding in step.findings:
                w.progress.say(f"{'✓' if finding.ok else '✗'} {finding.object}: {finding.message}")
            context.add_output_metadata(md.of_health(step))
            if not step.healthy:
                bad = [f for f in step.findings if not f.ok]
                raise failure(
                    context,
                    w,
                    OpsError(
                        f"{env} is not healthy: {bad[0].message}",
                        details=[f"{f.object}: {f.message}" for f in bad[1:]],
                        remedy=bad[0].remedy,
                    ),
                )

    @dg.op(name="upkeep", description="Settle, end bakes, remove what nothing retained needs.")
    def upkeep_op(context: dg.OpExecutionContext) -> None:
        with running(context, wire_for, leased=True) as w:
            step = pipeline.upkeep(w, environment(context, w))
            for line in step.removed:
                w.progress.say(f"  {line}")
            context.add_output_metadata({"removed": list(step.removed) or ["nothing"]})
            if step.problems:
                raise OpsError(step.problems[0], details=step.problems[1:])

    return [
        dg.GraphDefinition(name=name, node_defs=[op]).to_job(
            name=name,
            description=op.description,
        )
        for name, op in (("rollback", rollback_op), ("health", health_op), ("upkeep", upkeep_op))
    ]
