"""Build what changed and return the lock: every image of the system by content."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cortex_ops.adapters import engine_images, registry
from cortex_ops.adapters.buildx import Baked, bake
from cortex_ops.adapters.engine import Engine
from cortex_ops.images import bases
from cortex_ops.images.ahead import reading_ahead, reading_layouts
from cortex_ops.images.layers import Layouts
from cortex_ops.images.plan import Buildable, BuildPlan, Place, buildables, keep_tag, plan_builds, usable
from cortex_ops.images.policy import judge_images, known_layers, read_layouts
from cortex_ops.images.readback import made, resolved
from cortex_ops.images.retention import owner_of
from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.errors import InputError, RefusedError
from cortex_ops.kernel.files import scratch
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.redact import remember
from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import ImageLock, ImageRef, Value
from cortex_ops.source.context import Context
from cortex_ops.source.dockerfile import scan
from cortex_ops.source.fingerprint import Reader, read_dockerfile
from cortex_ops.source.git import inspect
from cortex_ops.source.hashes import HashCache
from cortex_ops.source.ignore import read_ignore
from cortex_ops.source.instructions import instructions
from cortex_ops.stack.load import monorepo
from cortex_ops.stack.schema import Stack

PROXY = Path(__file__).resolve().parents[2] / "deploy" / "docker" / "proxy"


class BuildResult(Value):
    """`built` are names; `seconds` that their own steps took (shared ones count for the image that ran them);
    `findings` are policy sentences by name."""

    lock: ImageLock
    built: tuple[str, ...] = ()
    seconds: dict[str, float] = {}
    findings: dict[str, tuple[str, ...]] = {}


def fingerprints(stack: Stack, settings: Settings) -> dict[str, str]:
    """64 hex characters by image name, for everything that is built. Asks no engine: a base image that nothing has
    pinned yet counts as unknown, and the first build pins it."""
    images = buildables(stack, monorepo(stack, settings.stack_file), PROXY)
    return _fingerprints(images, settings, bases.known_digests(settings))


def base_images(stack: Stack, settings: Settings) -> dict[str, str]:
    """Every image that is pulled and not built → the place that names it (a Dockerfile's line, the stack file)."""
    named = _named(buildables(stack, monorepo(stack, settings.stack_file), PROXY))
    return {**bases.of_stores(_stores(stack), settings), **named}


def build(stack: Stack, settings: Settings, engine: Engine, store: Store, progress: Progress = SILENT) -> BuildResult:
    """One bake for all that changed; a hit whose image still exists never calls the builder.

    Raises `OpsError` for a Dockerfile that fails, a base image that cannot be had, an engine that is away.
    """
    images = buildables(stack, monorepo(stack, settings.stack_file), PROXY)
    with ThreadPoolExecutor(max_workers=2) as pool:  # git and the engine's CLI are both waiting for processes
        asked = pool.submit(inspect, monorepo(stack, settings.stack_file))
        engine_id, platform = engine_images.identity(engine)
        state = asked.result()
    place = Place(engine_id, platform, owner_of(store), settings.registry)
    with registry.logged_in(engine):
        work = _Work(settings, engine, store, progress, place)
        digests = bases.pin(engine, settings, _named(images), progress)
        prints = _fingerprints(images, settings, digests)
        plan = work.planned(images, prints, state.revision, digests)
        refs, seconds = work.baked(plan, images, prints, digests) if plan.misses else ({}, {})
        refs |= plan.hits
        judged = judge_images(engine, store, {one: refs[one.name] for one in images}, progress)
        refs |= resolved(engine, settings, _stores(stack), engine_id, progress)
    return BuildResult(
        lock=ImageLock(source_revision=state.revision, source_dirty=state.dirty, images=dict(sorted(refs.items()))),
        built=plan.misses,
        seconds=seconds,
        findings={name: tuple(one.message for one in found) for name, found in judged.items()},
    )


@dataclass(frozen=True)
class _Work:
    """What the steps of one build share."""

    settings: Settings
    engine: Engine
    store: Store
    progress: Progress
    place: Place

    def planned(
        self, images: list[Buildable], prints: Mapping[str, str], revision: str, digests: Mapping[str, str]
    ) -> BuildPlan:
        ca_bundle = self.settings.ca_bundle
        if ca_bundle and not Path(ca_bundle).is_file():
            raise InputError(f"the CA bundle {ca_bundle} does not exist", remedy="correct CORTEX_OPS_CA_BUNDLE")
        contexts = bases.contexts(self.settings, digests)
        known = {prints[image.name]: _known(self.store, prints[image.name]) for image in images}
        # Not those of another place, such as this engine's own from before there was a registry.
        here = [ref.reference() for refs in known.values() for ref in refs if usable(ref, self.place)]
        existing = self._existing(here)
        plan = plan_builds(
            images,
            prints,
            known,
            existing,
            self.place,
            revision=revision,
            build_id=secrets.token_hex(6),
            ca_bundle=ca_bundle,
            contexts={one.name: {b: contexts[b] for b, _ in _bases(one) if b in contexts} for one in images},
            layouts=[one.name for one in images if self.engine.writes_layouts and not _triggers(one)],
        )
        for name, ref in plan.hits.items():
            keep = keep_tag(name, self.place, ref.image_id)
            if not self.place.registry and keep not in (existing[ref.image_id].get("RepoTags") or []):
                engine_images.tag(self.engine, ref.image_id, keep)
        return plan

    def _existing(self, references: list[str]) -> dict[str, dict[str, Any]]:
        if not self.place.registry:
            return engine_images.inspect(self.engine, references)
        found = at_once([partial(registry.manifest, self.engine, one) for one in references])
        return {one: manifest for one, manifest in zip(references, found, strict=True) if manifest is not None}

    def baked(
        self, plan: BuildPlan, images: list[Buildable], prints: Mapping[str, str], digests: Mapping[str, str]
    ) -> tuple[dict[str, ImageRef], dict[str, float]]:
        _require_secrets([image for image in images if image.name in plan.misses])
        for reason in sorted(set(plan.reasons.values())):
            names = ", ".join(name for name in plan.misses if plan.reasons[name] == reason)
            self.progress.say(f"  to build, {reason}: {names}")
        tags = {name: plan.document["target"][name]["tags"][0] for name in plan.misses}
        began = time.time()
        with scratch(self.settings.state / "cache" / "builds") as folder:
            layouts = Layouts(folder, plan.layouts, known_layers(self.store) if plan.layouts else ())
            with self.progress.step(f"building {len(tags)} image{'s' if len(tags) > 1 else ''}"):
                done = self._bake(plan, tags, folder, layouts)
            # What was edited while it was built is in the image or is not: nobody knows under which fingerprint.
            built = [image for image in images if image.name in tags]
            after = _fingerprints(built, self.settings, digests)
            _refuse_moved([image for image in built if after[image.name] != prints[image.name]], began)
            found = made(self.engine, self.place, tags, done.metadata, layouts)
            read_layouts(self.store, layouts, {n: (one.ref.reference(), one.layers) for n, one in found.items()})
        refs = {name: one.ref.model_copy(update={"fingerprint": prints[name]}) for name, one in found.items()}
        for ref in refs.values():
            self.store.put_if_absent(_record_key(ref), ref.to_json())
        return refs, {name: done.seconds.get(name, 0.0) for name in tags}

    def _bake(self, plan: BuildPlan, tags: Mapping[str, str], folder: Path, layouts: Layouts) -> Baked:
        self.engine.import_sdk()
        if plan.layouts:
            with reading_layouts(self.store, layouts):
                return bake(self.engine, plan.document, plan.images, folder, progress=self.progress)
        ahead = () if self.place.registry else tags.values()  # what was pushed is judged when it was pulled
        with reading_ahead(self.engine, self.store, ahead) as named:
            return bake(self.engine, plan.document, plan.images, folder, progress=self.progress, on_named=named)


def _refuse_moved(images: list[Buildable], began: float) -> None:
    if images:
        touched = _touched(images[0], since=began)
        raise RefusedError(
            f"files of {', '.join(image.name for image in images)} changed while they were built"
            + (f": {', '.join(touched[:3])}" if touched else ""),
            remedy="build again, or name in .dockerignore what changes by itself",
        )


def _require_secrets(images: list[Buildable]) -> None:
    """The builder takes a missing one for none, and a Dockerfile then fails far from the cause."""
    for image in images:
        for key, variable in image.secrets:
            value = os.environ.get(variable, "")
            if not value:
                raise InputError(
                    f"the build of {image.name} needs its secret {key} in the variable {variable}, which is not set",
                    remedy=f"set {variable} where the build runs",
                )
            remember(value)


def _known(store: Store, fingerprint: str) -> list[ImageRef]:
    """What earlier builds of a fingerprint gave, on every machine that shares the store."""
    data = [store.get(key) for key in store.list(f"builds/{fingerprint}/")]
    return [ImageRef.from_json(one) for one in data if one is not None]


def _record_key(ref: ImageRef) -> str:
    """The same content in two engines is two records: neither can run the other's."""
    return f"builds/{ref.fingerprint}/{sha256(f'{ref.engine_id} {ref.reference()}'.encode())[:32]}.json"


def _fingerprints(images: list[Buildable], settings: Settings, digests: Mapping[str, str]) -> dict[str, str]:
    reader = Reader(HashCache(settings.state / "cache" / "file-hashes.json"))
    found = {
        image.name: reader.fingerprint(
            image.context,
            image.dockerfile,
            target=image.target,
            arguments=dict(image.arguments),
            bases=dict(digests),
        )
        for image in images
    }
    reader.cache.save()
    return found


def _touched(image: Buildable, since: float) -> list[str]:
    """Files of its context that changed since then (seconds since the epoch), folders only where no file did."""
    tree = Context(image.context, read_ignore(image.context, image.dockerfile), HashCache(None))
    found: list[tuple[bool, str]] = []
    for path, entry in tree.entries():
        with contextlib.suppress(OSError):
            if (image.context / path).lstat().st_ctime >= since - 0.05:  # a file system's clock is a little behind
                found.append((entry.kind == "d", path))
    return [path for _, path in sorted(found)]


def _bases(image: Buildable) -> tuple[tuple[str, int], ...]:
    return scan(read_dockerfile(image.context, image.dockerfile), dict(image.arguments)).bases


def _triggers(image: Buildable) -> bool:
    """Whether it has ONBUILD: building anything from it may do more than hand out its layers."""
    return any(one.word == "ONBUILD" for one in instructions(read_dockerfile(image.context, image.dockerfile)))


def _named(images: list[Buildable]) -> dict[str, str]:
    """Base image → the first Dockerfile and line that names it."""
    found: dict[str, str] = {}
    for image in images:
        for name, line in _bases(image):
            found.setdefault(name, f"{image.dockerfile}:{line}")
    return found


def _stores(stack: Stack) -> dict[str, str]:
    return {name: store.image for name, store in stack.stores.items()}
