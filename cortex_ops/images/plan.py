"""What to build and how, as values: one bake document for everything that changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_ops.kernel.values import ImageRef
from cortex_ops.stack.quantities import size
from cortex_ops.stack.schema import Build, Stack

LABEL = "org.cortex-ops."


@dataclass(frozen=True)
class Buildable:
    """One image that we build. `context` is absolute; `dockerfile` is relative to it. Budget in bytes."""

    name: str
    context: Path
    dockerfile: str
    target: str = ""
    test_stage: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    size_budget: int = 0
    must_be_rootless: bool = True


@dataclass(frozen=True)
class BuildPlan:
    """`hits` are images that exist; `misses` are built; `document` is for `docker buildx bake`."""

    hits: dict[str, ImageRef]
    misses: tuple[str, ...]
    document: dict[str, Any]
    reasons: dict[str, str]


def buildables(stack: Stack, monorepo: Path, proxy: Path) -> list[Buildable]:
    """Every service, the test-runner and the proxy."""
    context = (monorepo / stack.source.context).resolve()

    def one(name: str, build: Build) -> Buildable:
        return Buildable(
            name=name,
            context=context,
            dockerfile=build.dockerfile,
            target=build.target,
            test_stage=build.test_stage,
            arguments=tuple(sorted(build.arguments.items())),
            size_budget=size(build.size_budget) if build.size_budget else 0,
        )

    out = [one(name, service.build) for name, service in stack.services.items()]
    if stack.tests is not None:
        out.append(one("integration-tests", stack.tests.build))
    out.append(Buildable(name="edge", context=proxy, dockerfile="Dockerfile"))
    return out


def plan_builds(
    images: list[Buildable],
    fingerprints: dict[str, str],
    known: dict[str, list[ImageRef]],
    existing: set[str],
    *,
    revision: str,
    registry: str = "",
    ca_bundle: str = "",
    base_contexts: dict[str, str] | None = None,
) -> BuildPlan:
    """`known` maps fingerprint → what earlier builds gave; `existing` holds image ids and `repo@digest`s."""
    hits: dict[str, ImageRef] = {}
    reasons: dict[str, str] = {}
    misses: list[Buildable] = []
    for image in images:
        records = known.get(fingerprints[image.name], [])
        usable = [ref for ref in records if ref.reference() in existing and bool(ref.repository) == bool(registry)]
        if usable:
            hits[image.name] = usable[-1]
        else:
            reasons[image.name] = "its image is gone" if records else "its content is new"
            misses.append(image)
    targets: dict[str, Any] = {}
    for image in misses:
        targets |= _targets(image, fingerprints[image.name], revision, registry, ca_bundle, base_contexts or {})
    document = {"group": {"default": {"targets": sorted(targets)}}, "target": targets}
    return BuildPlan(hits, tuple(i.name for i in misses), document, reasons)


def tag(name: str, fingerprint: str, registry: str = "") -> str:
    """The name an image keeps so that pruning cannot take it: by content, never moved."""
    return f"{registry or 'cortex-ops'}/{name}:{fingerprint[:16]}"


def _targets(
    image: Buildable, fingerprint: str, revision: str, registry: str, ca_bundle: str, bases: dict[str, str]
) -> dict[str, Any]:
    base: dict[str, Any] = {
        "context": str(image.context),
        "dockerfile": image.dockerfile,
        "args": dict(image.arguments),
        "attest": ["type=provenance,disabled=true"],
    }
    if ca_bundle:
        base["secret"] = [f"id=ca_bundle,src={ca_bundle}"]
    if bases:
        base["contexts"] = bases
    main = {
        **base,
        "tags": [tag(image.name, fingerprint, registry)],
        "output": ["type=registry" if registry else "type=docker"],
        "labels": {
            "org.opencontainers.image.revision": revision,
            LABEL + "fingerprint": fingerprint,
            LABEL + "service": image.name,
        },
    }
    if image.target:
        main["target"] = image.target
    out = {image.name: main}
    if image.test_stage:
        out[f"{image.name}-tests"] = {**base, "target": image.test_stage, "output": ["type=cacheonly"]}
    return out
