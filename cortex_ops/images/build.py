"""Build what changed and return the lock: every image of the system by content."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from cortex_ops.adapters.buildx import bake
from cortex_ops.adapters.engine import Engine
from cortex_ops.images.plan import Buildable, BuildPlan, buildables, plan_builds, tag
from cortex_ops.images.policy import judge_image
from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import ImageLock, ImageRef
from cortex_ops.source.fingerprint import fingerprint
from cortex_ops.source.git import inspect
from cortex_ops.source.hashes import HashCache
from cortex_ops.stack.schema import Stack

PROXY = Path(__file__).resolve().parents[2] / "deploy" / "docker" / "proxy"


@dataclass
class BuildResult:
    """`built`: names that were built now; `findings`: policy sentences by name."""

    lock: ImageLock
    built: set[str] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    findings: dict[str, list[str]] = field(default_factory=dict)


def monorepo(stack: Stack, settings: Settings) -> Path:
    return (settings.stack_file.parent / stack.source.path).resolve()


def fingerprints(stack: Stack, settings: Settings) -> dict[str, str]:
    """64 hex characters by image name, for everything that is built."""
    images = buildables(stack, monorepo(stack, settings), PROXY)
    bases = base_digests(settings)
    cache = HashCache(settings.state / "cache" / "file-hashes.json")
    found = {
        image.name: fingerprint(
            image.context,
            image.dockerfile,
            cache=cache,
            target=image.target,
            arguments=dict(image.arguments),
            bases=bases,
        )
        for image in images
    }
    cache.save()
    return found


def base_digests(settings: Settings) -> dict[str, str]:
    """Image → digest: what a bare machine built wins over the committed lock."""
    out: dict[str, str] = {}
    for path in (settings.project / "deploy" / "bases.lock", settings.state / "bases.json"):
        try:
            out |= json.loads(path.read_text())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise OpsError(f"{path} cannot be read: {error}", remedy="run `make setup` again") from error
    return out


def build(
    stack: Stack,
    settings: Settings,
    engine: Engine,
    store: Store,
    progress: Progress = SILENT,
    clock: Clock = SYSTEM,
) -> BuildResult:
    """One bake for all that changed; a hit whose image still exists never calls the builder."""
    images = buildables(stack, monorepo(stack, settings), PROXY)
    prints = fingerprints(stack, settings)
    state = inspect(monorepo(stack, settings))
    plan = plan_builds(
        images,
        prints,
        {prints[i.name]: _records(store, prints[i.name]) for i in images},
        _existing(engine),
        revision=state.revision,
        registry=settings.registry,
        ca_bundle=settings.ca_bundle,
        base_contexts=_base_contexts(settings),
    )
    refs = dict(plan.hits)
    result = BuildResult(ImageLock(source_revision=state.revision, source_dirty=state.dirty, images={}))
    if plan.misses:
        refs |= _bake(plan, images, prints, engine, settings, store, progress, clock, result)
    for name, model in stack.stores.items():
        refs[name] = _resolve_public(engine, model.image, progress)
    for image in images:
        result.findings[image.name] = judge_image(engine, store, image, refs[image.name], progress)
    result.lock = result.lock.model_copy(update={"images": dict(sorted(refs.items()))})
    return result


def _bake(
    plan: BuildPlan,
    images: list[Buildable],
    prints: dict[str, str],
    engine: Engine,
    settings: Settings,
    store: Store,
    progress: Progress,
    clock: Clock,
    result: BuildResult,
) -> dict[str, ImageRef]:
    names = ", ".join(f"{name} ({plan.reasons[name]})" for name in plan.misses)
    began = clock.monotonic()
    with progress.step(f"building {names}"):
        metadata = bake(engine, plan.document, progress=progress)
    seconds = clock.monotonic() - began
    out = {}
    for name in plan.misses:
        digest = str(metadata.get(name, {}).get("containerimage.digest", ""))
        reference = tag(name, prints[name], settings.registry)
        out[name] = _built_ref(engine, settings, name, reference, digest, prints[name])
        key = f"builds/{prints[name]}/{sha256(out[name].reference().encode())[:32]}.json"
        store.put_if_absent(key, out[name].to_json())
        result.built.add(name)
        result.seconds[name] = round(seconds, 3)
    return out


def _built_ref(engine: Engine, settings: Settings, name: str, reference: str, digest: str, print_: str) -> ImageRef:
    """Read back from the engine what the build says it made; they must agree."""
    if settings.registry:
        pinned = f"{settings.registry}/{name}@{digest}"
        engine.run(engine.argv("pull", "--quiet", pinned), what=f"pulling {name} back by digest", deadline=600)
        info = _inspect(engine, pinned)
        return ImageRef(
            fingerprint=print_,
            repository=f"{settings.registry}/{name}",
            digest=digest,
            size=int(info.get("Size") or 0),
            user=str((info.get("Config") or {}).get("User", "")),
        )
    info = _inspect(engine, reference)
    found = {str(info["Id"]), *(str(d).rpartition("@")[2] for d in info.get("RepoDigests") or [])}
    if digest and digest not in found:
        raise OpsError(f"{name}: the build says {digest}, the engine holds {info['Id']}", remedy="build again")
    # A tag by fingerprint moves when another checkout builds the same content with another revision's label, and
    # an image that loses its last tag is gone. So each image keeps one by its own id.
    identity = str(info["Id"]).removeprefix("sha256:")
    engine.guard(engine.client.api.tag, str(info["Id"]), f"cortex-ops/{name}", tag=f"keep-{identity[:16]}")
    return ImageRef(
        fingerprint=print_,
        image_id=str(info["Id"]),
        engine_id=engine.id,
        size=int(info.get("Size") or 0),
        user=str((info.get("Config") or {}).get("User", "")),
    )


def _inspect(engine: Engine, reference: str) -> dict:  # type: ignore[type-arg]
    from docker.errors import NotFound

    try:
        return dict(engine.guard(engine.client.api.inspect_image, reference))
    except NotFound:
        raise OpsError(f"the engine has no image {reference} although it was just built") from None


def _records(store: Store, print_: str) -> list[ImageRef]:
    found = []
    for key in store.list(f"builds/{print_}/"):
        data = store.get(key)
        if data is not None:
            found.append(ImageRef.from_json(data))
    return found


def _existing(engine: Engine) -> set[str]:
    """One call: the ids and `repository@digest`s of all images that the engine holds."""
    out: set[str] = set()
    for row in engine.guard(engine.client.api.images):
        out.add(row["Id"])
        out |= set(row.get("RepoDigests") or [])
    return out


def _base_contexts(settings: Settings) -> dict[str, str]:
    """Pin the base images that have a known digest; through the mirror where one is set."""
    out = {}
    for image, digest in base_digests(settings).items():
        name, _, _ = image.partition(":")
        full = name if "/" in name else f"library/{name}"
        where = f"{settings.mirror}/{full}" if settings.mirror else name
        out[image] = f"docker-image://{where}@{digest}"
    return out


def _resolve_public(engine: Engine, image: str, progress: Progress) -> ImageRef:
    """A store's image by content: its repository digest where it came from a registry, else its id."""
    from docker.errors import NotFound

    try:
        info = engine.guard(engine.client.api.inspect_image, image)
    except NotFound:
        with progress.step(f"pulling {image}"):
            engine.run(engine.argv("pull", "--quiet", image), what=f"pulling {image}", deadline=900)
        info = engine.guard(engine.client.api.inspect_image, image)
    digests = [d for d in info.get("RepoDigests") or [] if "@sha256:" in d]
    repository, _, digest = digests[0].partition("@") if digests else ("", "", "")
    return ImageRef(
        fingerprint="",
        repository=repository,
        digest=digest,
        image_id="" if digests else str(info["Id"]),
        engine_id="" if digests else engine.id,
        size=int(info.get("Size") or 0),
        user=str((info.get("Config") or {}).get("User", "")),
    )
