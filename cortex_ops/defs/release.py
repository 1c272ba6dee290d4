"""From images to what is live: rendering, candidate, verdict, release; partitioned by environment, checks too.

Nothing is passed through Dagster: a step finds what the one before it left under the run's id in the store.
Gates before the first change block. The verdict does not: the release step acts on it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import dagster as dg

from cortex_ops.defs import metadata as md
from cortex_ops.defs.images import image_key, image_names
from cortex_ops.defs.seam import Seam
from cortex_ops.defs.step import environment, failure, running
from cortex_ops.kernel.clock import iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.names import asset_name
from cortex_ops.stack.environments import deployed
from cortex_ops.stack.schema import Stack

TESTS = dg.AssetKey("integration_tests")
RELEASE = dg.AssetKey("release")
DRIFT = dg.AssetKey("drift")


def rollout_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["rollout", asset_name(name)])


def rolled_out(stack: Stack) -> list[str]:
    return [name for name, service in stack.services.items() if not service.optional]


CHECKS = {
    "policy": "What may run at all, judged on the rendering.",
    "equivalence": "The same services, images, environment, probes and calls as the compose files have.",
    "preflight": "All that would make the rollout fail and can be known before anything is changed.",
}


class Kind(NamedTuple):
    """One kind of manifests: the page's icons, the checks of it, and what it is."""

    icons: set[str]
    checks: tuple[str, ...]
    description: str


KINDS = {
    "compose": Kind(
        {"yaml", "docker"},
        ("policy", "preflight"),
        "The files of the environment for an engine, and what they would change there.",
    ),
    "kubernetes": Kind(
        {"yaml", "kubernetes"},
        ("policy", "equivalence", "preflight"),
        "The manifests of the environment for a cluster, and what they would change there.",
    ),
    "monitoring": Kind(
        {"yaml", "prometheus"},
        ("policy",),
        "What watches the environment in a cluster: metrics, alerts, logs. `cortex-ops render` writes it.",
    ),
}


def manifest_key(kind: str) -> dg.AssetKey:
    return dg.AssetKey(["manifests", kind])


def manifest_kinds(stack: Stack) -> list[str]:
    """Those that some environment has. Where another's is rendered, one is there and empty."""
    targets = {stack.environments[name].target for name in deployed(stack)}
    return [kind for kind in KINDS if kind in targets or (kind == "monitoring" and "kubernetes" in targets)]


def manifest_asset(seam: Seam) -> dg.AssetsDefinition:
    kinds = manifest_kinds(seam.stack)

    @dg.multi_asset(
        name="manifests",
        group_name="manifests",
        partitions_def=seam.environments,
        specs=[
            dg.AssetSpec(
                manifest_key(kind),
                deps=[image_key(name) for name in image_names(seam.stack)],
                kinds=KINDS[kind].icons,
                description=KINDS[kind].description,
            )
            for kind in kinds
        ],
        check_specs=[
            dg.AssetCheckSpec(
                name,
                asset=manifest_key(kind),
                partitions_def=seam.environments,
                blocking=True,
                description=CHECKS[name],
            )
            for kind in kinds
            for name in KINDS[kind].checks
        ],
    )
    def manifests(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, seam) as w:
            env = environment(context, seam, w)
            step = seam.steps.render(w, env)
            found = {kind: dict(rendering.findings) for kind, rendering in step.renderings.items()}
            found[step.target]["preflight"] = tuple(seam.steps.preflight(w, env))
            for kind in kinds:
                yield dg.MaterializeResult(manifest_key(kind), metadata=md.of_rendering(step, kind))
                for name in KINDS[kind].checks:
                    findings = found.get(kind, {}).get(name, ())
                    yield dg.AssetCheckResult(
                        passed=not findings,
                        check_name=name,
                        asset_key=manifest_key(kind),
                        metadata={"judged": kind in found, "findings": md.points(findings)},
                    )
            for of_kind in found.values():
                for name, findings in of_kind.items():
                    if findings:
                        raise OpsError(f"{name} of {env}: {findings[0]}", details=findings[1:])

    return manifests


def rollout_assets(seam: Seam) -> dg.AssetsDefinition:
    names = rolled_out(seam.stack)
    kinds = manifest_kinds(seam.stack)
    runs_on = {"compose": "docker", "kubernetes": "kubernetes"}
    icons = {runs_on[kind] for kind in kinds if kind in runs_on}
    manifests = [manifest_key(kind) for kind in kinds]

    @dg.multi_asset(
        name="rollout",
        group_name="release",
        partitions_def=seam.environments,
        specs=[
            dg.AssetSpec(
                rollout_key(name),
                deps=manifests,
                kinds=icons,
                description=f"{name} of the candidate, started and ready.",
            )
            for name in names
        ],
    )
    def rollout(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, seam, begins=True) as w:
            step = seam.steps.rollout(w, environment(context, seam, w))
            for name in names:
                yield dg.MaterializeResult(rollout_key(name), metadata=md.of_rollout(step, name))

    return rollout


def tests_asset(seam: Seam) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="integration_tests",
        group_name="release",
        partitions_def=seam.environments,
        specs=[
            dg.AssetSpec(
                TESTS,
                deps=[rollout_key(name) for name in rolled_out(seam.stack)],
                description="The integration tests' verdict on the candidate, before any user reaches it.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "verdict",
                asset=TESTS,
                partitions_def=seam.environments,
                description="Does not block: the release step acts on it, by promoting or rolling back.",
            )
        ],
    )
    def integration_tests(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, seam, begins=True) as w:
            began = iso(w.clock.now())
            verdict = seam.steps.integration_tests(w, environment(context, seam, w))
            yield dg.MaterializeResult(TESTS, metadata=md.of_verdict(verdict, began))
            yield dg.AssetCheckResult(
                passed=verdict.passed,
                check_name="verdict",
                asset_key=TESTS,
                metadata={"cause": verdict.cause or "—", "infrastructure": verdict.infrastructure},
            )

    return integration_tests


def release_asset(seam: Seam) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="promote_or_roll_back",  # an op may not carry a job's name
        group_name="release",
        partitions_def=seam.environments,
        specs=[
            dg.AssetSpec(
                RELEASE,
                deps=[TESTS],
                description="What is live: promoted on a passed verdict, otherwise rolled back.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "live_and_tested",
                asset=RELEASE,
                partitions_def=seam.environments,
                description="It serves, it passed its tests, and both are recorded.",
            )
        ],
    )
    def release(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, seam, begins=True, concludes=True) as w:
            env = environment(context, seam, w)
            step = seam.steps.release(w, env)
            yield dg.AssetCheckResult(
                passed=step.ok,
                check_name="live_and_tested",
                asset_key=RELEASE,
                metadata={"cause": step.outcome.cause or "—", "serves": f"r{step.outcome.serves}"},
            )
            if not step.ok:
                raise failure(context, w, OpsError(step.message, remedy=rejected_remedy(env)))
            w.progress.say(f"✓ {step.message}", style="bold green")
            for name, url in step.endpoints.items():
                w.progress.say(f"  {name}: {url}")
            yield dg.MaterializeResult(RELEASE, metadata=md.of_release(step))

    return release


def drift_spec(seam: Seam) -> dg.AssetSpec:
    return dg.AssetSpec(
        DRIFT,
        deps=[RELEASE],
        group_name="release",
        partitions_def=seam.environments,
        description="How the live objects differ from what was released; observed by every run of the health job.",
    )


def rejected_remedy(env: str) -> str:
    return f"correct the cause and release again; `cortex-ops history -e {env}` lists what happened"
