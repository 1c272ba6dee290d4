"""What to build and how, as values: one bake document for everything that changed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_ops.adapters.build_log import LAYERS, TESTS
from cortex_ops.kernel.values import ImageRef
from cortex_ops.stack.naming import EDGE, RUNNER
from cortex_ops.stack.quantities import size
from cortex_ops.stack.schema import Build, Stack

LABEL = "org.cortex-ops."
LOCAL = "cortex-ops"


@dataclass(frozen=True)
class Buildable:
    """One image that we build. `context` is absolute; `dockerfile` is relative to it. Budget in bytes, 0: none."""

    name: str
    context: Path
    dockerfile: str
    target: str = ""
    test_stage: str = ""
    arguments: tuple[tuple[str, str], ...] = ()
    size_budget: int = 0
    secrets: tuple[tuple[str, str], ...] = ()  # id → variable of the builder's environment


@dataclass(frozen=True)
class Place:
    """Where images are built and kept. `registry` empty: in the engine `engine_id`, whose `platform` it is. `owner`
    tells the names that our store's releases need from those of another checkout, which may be for the same image."""

    engine_id: str
    platform: str
    owner: str
    registry: str = ""


@dataclass(frozen=True)
class BuildPlan:
    """`hits` are images that exist; `misses` are built, each for its reason; `document` is for `docker buildx bake`,
    and `images` says which image each of its targets belongs to. `layouts` are the images whose layers are written
    into a folder, too, which has their name."""

    hits: dict[str, ImageRef]
    misses: tuple[str, ...]
    reasons: dict[str, str]
    document: dict[str, Any]
    images: dict[str, str]
    layouts: tuple[str, ...] = ()


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
            secrets=tuple(sorted((key, stack.secrets[s].variable) for key, s in build.secrets.items())),
        )

    out = [one(name, service.build) for name, service in stack.services.items()]
    if stack.tests is not None:
        out.append(one(RUNNER, stack.tests.build))
    out.append(Buildable(name=EDGE, context=proxy, dockerfile="Dockerfile"))
    return out


def usable(ref: ImageRef, place: Place) -> bool:
    """Whether a record's image, if it still exists, is one that this place can run."""
    if place.registry:
        covered = not ref.platforms or place.platform in ref.platforms
        return ref.repository.startswith(f"{place.registry}/") and covered
    return not ref.repository and ref.engine_id == place.engine_id


def plan_builds(
    images: list[Buildable],
    fingerprints: Mapping[str, str],
    known: Mapping[str, list[ImageRef]],
    existing: Collection[str],
    place: Place,
    *,
    revision: str,
    build_id: str,
    ca_bundle: str = "",
    contexts: Mapping[str, Mapping[str, str]] | None = None,
    layouts: Collection[str] = (),
) -> BuildPlan:
    """`known`: fingerprint → what earlier builds gave; `existing`: references that are still there; `contexts`: image
    name → its base images by content; `layouts`: the images whose layers go into a folder of their
    names, too. `build_id` makes this build's own tags, which no other can move."""
    hits: dict[str, ImageRef] = {}
    reasons: dict[str, str] = {}
    targets: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for image in images:
        records = [ref for ref in known.get(fingerprints[image.name], []) if usable(ref, place)]
        there = [ref for ref in records if ref.reference() in existing]
        if there:
            hits[image.name] = there[-1]
            continue
        reasons[image.name] = "its image is gone" if records else "its content is new"
        made = _targets(image, fingerprints[image.name], place, revision, build_id, ca_bundle)
        for target in made.values():
            if named := dict((contexts or {}).get(image.name, {})):
                target["contexts"] = named
        if image.name in layouts:
            made = _with_layout(image, made, place)
        targets |= made
        owners |= dict.fromkeys(made, image.name)
    document = {"group": {"default": {"targets": sorted(targets)}}, "target": targets}
    return BuildPlan(hits, tuple(reasons), reasons, document, owners, tuple(n for n in reasons if n in layouts))


def build_tag(name: str, place: Place, fingerprint: str, build_id: str) -> str:
    """What bake names the image. In a registry by content; in the engine by build, until `keep_tag` takes over."""
    if place.registry:
        return f"{place.registry}/{name}:{fingerprint[:16]}"
    return f"{LOCAL}/{name}:build-{build_id}-{place.owner}"


def keep_tag(name: str, place: Place, image_id: str) -> str:
    """A name by the image's own digest: never moved, so that neither pruning nor another checkout's build of the same
    content (which differs in its revision's label) can take what a rollback needs."""
    return f"{LOCAL}/{name}:keep-{image_id.removeprefix('sha256:')[:16]}-{place.owner}"


def _with_layout(image: Buildable, made: dict[str, Any], place: Place) -> dict[str, Any]:
    """Its layers go into a folder of its name, too. A date of its own makes its configuration another than the
    image's: where both write the same one at once, the engine waits for a second."""
    output = f"type=oci,tar=false,source-date-epoch=1,dest={image.name}"
    if not place.registry:
        made[image.name]["output"].append(output)
        return made
    # The builder names one digest for each target, and that of what is pushed is needed.
    again = {
        "context": image.name,
        "dockerfile-inline": "FROM image\n",
        "contexts": {"image": f"target:{image.name}"},
        "attest": ["type=provenance,disabled=true"],
        "output": [output],
    }
    return {**made, image.name + LAYERS: again}


def _targets(
    image: Buildable, fingerprint: str, place: Place, revision: str, build_id: str, ca_bundle: str
) -> dict[str, Any]:
    base: dict[str, Any] = {
        "context": str(image.context),
        "dockerfile": image.dockerfile,
        "args": dict(image.arguments),
        "attest": ["type=provenance,disabled=true"],
    }
    given = [f"id=ca_bundle,src={ca_bundle}"] if ca_bundle else []
    given += [f"id={key},env={variable}" for key, variable in image.secrets]
    if given:
        base["secret"] = given
    main = {
        **base,
        "tags": [build_tag(image.name, place, fingerprint, build_id)],
        "output": ["type=registry" if place.registry else "type=docker"],
        "labels": {
            "org.opencontainers.image.revision": revision,
            LABEL + "fingerprint": fingerprint,
            LABEL + "service": image.name,
        },
    }
    if image.target:
        main["target"] = image.target
    out = {image.name: main}
    if image.test_stage:  # no output: that it builds is the verdict, and the image is not recorded without it
        out[image.name + TESTS] = {**base, "target": image.test_stage, "output": ["type=cacheonly"]}
    return out
