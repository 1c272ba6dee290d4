"""The first two steps: what the monorepo is, and the images that are built from it. Not bound to an environment.

One op yields every image, because one `docker buildx bake` builds them all.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from cortex_ops.defs import metadata as md
from cortex_ops.defs.seam import Seam
from cortex_ops.defs.step import FROM, environment, running, wants_environment
from cortex_ops.kernel.errors import OpsError, OwnTestsFailed
from cortex_ops.kernel.names import asset_name
from cortex_ops.stack.naming import EDGE, RUNNER
from cortex_ops.stack.schema import Stack

SOURCE = dg.AssetKey("source")
OWN_TESTS = "own_tests"


def image_key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["images", asset_name(name)])


def built_names(stack: Stack) -> list[str]:
    """What we build: the services, the test runner, the proxy. Stores run public images, pinned like the rest."""
    return [*stack.services, *([RUNNER] if stack.tests is not None else []), EDGE]


def image_names(stack: Stack) -> list[str]:
    return [*built_names(stack), *stack.stores]


def source_asset(seam: Seam) -> dg.AssetsDefinition:
    @dg.asset(
        key=SOURCE,
        group_name="source",
        kinds={"git"},
        description="The monorepo as it is on disk: revision, cleanliness, and the fingerprint of every image.",
    )
    def source(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        with running(context, seam) as w:
            if wants_environment(context):  # the first step checks it, before anything is done
                environment(context, seam, w)
            return dg.MaterializeResult(metadata=md.of_source(seam.steps.source(w)))

    return source


def _specs(stack: Stack) -> Iterator[dg.AssetSpec]:
    for name in image_names(stack):
        if name in stack.stores:
            text = f"The public image of {name}, pinned by content."
        else:
            text = f"The image of {name}, pinned by content. Built only when something it can see changed."
        yield dg.AssetSpec(image_key(name), deps=[SOURCE], kinds={"docker"}, description=text)


def _checks(stack: Stack) -> Iterator[dg.AssetCheckSpec]:
    for name in built_names(stack):
        yield dg.AssetCheckSpec(
            "policy",
            asset=image_key(name),
            blocking=True,
            description="A numeric user that is not root; no secret in any layer or in the history; its size.",
        )
    for name, service in stack.services.items():
        if service.build.test_stage:
            yield dg.AssetCheckSpec(
                OWN_TESTS,
                asset=image_key(name),
                blocking=True,
                description=f"The tests of {name}'s own, run by building its `{service.build.test_stage}` stage. "
                "An image whose stage fails is not built at all.",
            )


def image_assets(seam: Seam) -> dg.AssetsDefinition:
    stack = seam.stack

    @dg.multi_asset(name="images", group_name="images", specs=list(_specs(stack)), check_specs=list(_checks(stack)))
    def images(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with running(context, seam) as w:
            env = environment(context, seam, w) if wants_environment(context) else None
            try:
                step = seam.steps.build(w, env, context.run.tags.get(FROM, ""))
            except OwnTestsFailed as error:
                yield dg.AssetCheckResult(
                    passed=False,
                    check_name=OWN_TESTS,
                    asset_key=image_key(error.image),
                    metadata={"cause": error.message, "last lines": md.points(error.details)},
                )
                raise
            findings = {image.name: list(image.findings) for image in step.images}
            for name in image_names(stack):
                yield dg.MaterializeResult(image_key(name), metadata=md.of_image(step, name))
            for name in built_names(stack):
                yield dg.AssetCheckResult(
                    passed=not findings.get(name),
                    check_name="policy",
                    asset_key=image_key(name),
                    metadata={"findings": md.points(findings.get(name, ()))},
                )
                if name in stack.services and stack.services[name].build.test_stage:
                    yield dg.AssetCheckResult(
                        passed=True,
                        check_name=OWN_TESTS,
                        asset_key=image_key(name),
                        metadata=md.of_own_tests(step, name, stack.services[name].build.test_stage),
                    )
            broken = [f"{name}: {text}" for name, found in findings.items() for text in found]
            built = sum(image.built for image in step.images)
            where = f"of {step.promoted_from}" if step.promoted_from else f"{built} built now"
            w.progress.say(f"✓ {len(step.images)} images, {where} ({step.seconds:.1f} s)", style="green")
            if broken:
                raise OpsError(f"image policy: {broken[0]}", details=broken[1:], remedy="correct the Dockerfile")

    return images
