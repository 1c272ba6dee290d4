"""The graph: what exists (images, renderings, rollouts, a tested release) and the judgements of it.

One op per coarse step. Environments are partitions of everything from the renderings on, and of their checks.
Nothing is passed through Dagster: steps hand over by run id in the store.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from cortex_ops import pipeline
from cortex_ops.defs import metadata as md
from cortex_ops.defs.step import FROM, WireFor, environment, failure, running
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.names import asset_name
from cortex_ops.stack.schema import Stack

Result = Iterator[Any]

SOURCE = dg.AssetKey("source")
MANIFESTS = dg.AssetKey(["manifests", "compose"])
TESTS = dg.AssetKey("integration_tests")
RELEASE = dg.AssetKey("release")


def image_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["images", asset_name(name)])


def rollout_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["rollout", asset_name(name)])


def image_names(stack: Stack) -> list[str]:
    tests = ["integration-tests"] if stack.tests is not None else []
    return [*stack.services, *tests, "edge", *stack.stores]


def source_asset(wire_for: WireFor) -> dg.AssetsDefinition:
    @dg.asset(
        key=SOURCE,
        group_name="source",
        kinds={"git"},
        description="The monorepo as it is on disk: revision, cleanliness, and the fingerprint of every image.",
    )
    def source(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with running(context, wire_for) as w:
            if context.job_name != "build":
                environment(context, w)
            result = pipeline.source(w)
            return dg.MaterializeResult(metadata=md.of_source(result))

    return source


def image_assets(stack: Stack, wire_for: WireFor) -> dg.AssetsDefinition:
    names = image_names(stack)

    @dg.multi_asset(
        name="images",
        group_name="images",
        specs=[
            dg.AssetSpec(
                image_key(name),
                deps=[SOURCE],
                kinds={"docker"},
                description=f"The image of {name}, pinned by content. Built only when something it can see changed.",
            )
            for name in names
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "policy",
                asset=image_key(name),
                blocking=True,
                description="A numeric user that is not root, no secret in any layer or in the history, its size.",
            )
            for name in names
        ],
    )
    def images(context: dg.AssetExecutionContext) -> Result:
        with running(context, wire_for) as w:
            env = environment(context, w) if context.job_name != "build" else None
            step = pipeline.build(w, env, context.run.tags.get(FROM, ""))
            findings = {image.name: image.findings for image in step.images}
            for name in names:
                yield dg.MaterializeResult(image_key(name), metadata=md.of_image(step, name))
                yield dg.AssetCheckResult(
                    passed=not findings.get(name),
                    check_name="policy",
                    asset_key=image_key(name),
                    metadata={"findings": list(findings.get(name, ())) or ["none"]},
                )
            broken = [f"{name}: {text}" for name, found in findings.items() for text in found]
            if broken:
                raise OpsError(f"image policy: {broken[0]}", details=broken[1:], remedy="correct the Dockerfile")

    return images


def manifest_asset(stack: Stack, envs: dg.PartitionsDefinition, wire_for: WireFor) -> dg.AssetsDefinition:
    @dg.asset(
        key=MANIFESTS,
        group_name="manifests",
        partitions_def=envs,
        kinds={"yaml"},
        deps=[image_key(name) for name in image_names(stack)],
        description="The compose files of the environment, and how they differ from what is live.",
    )
    def compose(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with running(context, wire_for) as w:
            step = pipeline.render(w, environment(context, w))
            return dg.MaterializeResult(metadata=md.of_rendering(step))

    return compose


def rollout_assets(stack: Stack, envs: dg.PartitionsDefinition, wire_for: WireFor) -> dg.AssetsDefinition:
    names = [name for name, service in stack.services.items() if not service.optional]

    @dg.multi_asset(
        name="rollout",
        group_name="release",
        partitions_def=envs,
        specs=[
            dg.AssetSpec(
                rollout_key(name),
                deps=[MANIFESTS],
                kinds={"docker"},
                description=f"{name} of the candidate, started beside the running release and ready.",
            )
            for name in names
        ],
    )
    def rollout(context: dg.AssetExecutionContext) -> Result:
        with running(context, wire_for, leased=True) as w:
            step = pipeline.rollout(w, environment(context, w))
            for name in names:
                yield dg.MaterializeResult(rollout_key(name), metadata=md.of_rollout(step, name))

    return rollout


def tests_asset(stack: Stack, envs: dg.PartitionsDefinition, wire_for: WireFor) -> dg.AssetsDefinition:
    names = [name for name, service in stack.services.items() if not service.optional]

    @dg.multi_asset(
        name="integration_tests",
        group_name="release",
        partitions_def=envs,
        specs=[
            dg.AssetSpec(
                TESTS,
                deps=[rollout_key(name) for name in names],
                description="The integration tests' verdict on the candidate, before any user reaches it.",
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                "verdict",
                asset=TESTS,
                partitions_def=envs,
                description="Not blocking: the release step acts on it, by promoting or rolling back.",
            )
        ],
    )
    def integration_tests(context: dg.AssetExecutionContext) -> Result:
        with running(context, wire_for, leased=True) as w:
            verdict = pipeline.integration_tests(w, environment(context, w))
            yield dg.MaterializeResult(TESTS, metadata=md.of_verdict(verdict))
            yield dg.AssetCheckResult(
                passed=verdict.passed,
                check_name="verdict",
                asset_key=TESTS,
                metadata={"cause": verdict.cause or "—", "infrastructure": verdict.infrastructure},
            )

    return integration_tests


def release_asset(envs: dg.PartitionsDefinition, wire_for: WireFor) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="release",
        group_name="release",
        partitions_def=envs,
        specs=[
            dg.AssetSpec(
                RELEASE,
                deps=[TESTS],
                description="What is live: promoted by one switch on a passed verdict, otherwise rolled back.",
            )
        ],
        check_specs=[dg.AssetCheckSpec("live_and_tested", asset=RELEASE, partitions_def=envs)],
    )
    def release(context: dg.AssetExecutionContext) -> Result:
        with running(context, wire_for, leased=True) as w:
            step = pipeline.release(w, environment(context, w))
            yield dg.AssetCheckResult(passed=step.ok, check_name="live_and_tested", asset_key=RELEASE)
            if not step.ok:
                raise failure(context, w, OpsError(step.message))
            w.progress.say(f"✓ {step.message}", style="bold green")
            for name, url in step.endpoints.items():
                w.progress.say(f"  {name}: {url}")
            yield dg.MaterializeResult(RELEASE, metadata=md.of_release(step))

    return release
