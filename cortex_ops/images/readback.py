"""Images as they really are, read back: what a build says it made, and what the stores' images are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cortex_ops.adapters import engine_images, registry
from cortex_ops.adapters.engine import Engine
from cortex_ops.images import bases
from cortex_ops.images.bases import HUB, parse
from cortex_ops.images.layers import Layouts
from cortex_ops.images.plan import Place, keep_tag
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.values import ImageRef

Document = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """`layers` are the digests of what its layers unpack to, as the engine has them, lowest first."""

    ref: ImageRef
    layers: tuple[str, ...]


def made(
    engine: Engine, place: Place, tags: Mapping[str, str], metadata: Mapping[str, Document], layouts: Layouts
) -> dict[str, Made]:
    """The images of bake targets (name → what bake named it), which get their own names here. Metadata and engine (or
    registry) must agree, or an `OpsError` says how not. Where a target has two outputs, its metadata may name the
    manifest of its layout: then the engine must hold an image of the same layers."""
    digests = {name: str(metadata.get(name, {}).get("containerimage.digest", "")) for name in tags}
    if silent := [name for name, digest in digests.items() if not digest]:
        raise OpsError(f"the build of {silent[0]} does not say which image it made", remedy="update docker buildx")
    if place.registry:
        pushed = at_once([partial(_pushed, engine, place, name, digest) for name, digest in digests.items()])
        return dict(zip(tags, pushed, strict=True))
    there = engine_images.inspect(engine, list(tags.values()))
    out = {}
    for name, tag in tags.items():
        if tag not in there:
            raise OpsError(f"the engine has no image {tag} although it was just built", remedy="build again")
        found = there[tag]
        # A containerd store calls an image by its manifest, the classic one by its configuration.
        said = {digests[name], str(metadata[name].get("containerimage.config.digest", digests[name]))}
        held = {str(found["Id"]), *(str(each).rpartition("@")[2] for each in found.get("RepoDigests") or [])}
        if (layout := layouts.image(name)) is not None and layout.unpacked() == _unpacked(found):
            held.add(layouts.manifest(name))
        if not said & held:
            raise OpsError(
                f"{name}: the build says {digests[name]}, the engine holds {found['Id']}", remedy="build again"
            )
        out[name] = _made(found, image_id=str(found["Id"]), engine_id=place.engine_id)
    kept = {name: (one.ref.image_id, keep_tag(name, place, one.ref.image_id)) for name, one in out.items()}
    engine_images.rename(engine, {tags[name]: new for name, new in kept.items()})
    return out


def _pushed(engine: Engine, place: Place, name: str, digest: str) -> Made:
    repository = f"{place.registry}/{name}"
    reference = f"{repository}@{digest}"
    manifest = registry.manifest(engine, reference)
    if manifest is None or manifest.get("digest") != digest:
        raise OpsError(f"{name} was pushed as {digest}, and the registry does not have it", remedy="build again")
    # Its layers are judged from the engine; a builder that pushed them has them, so this is quick.
    engine_images.pull(engine, reference)
    found = engine_images.inspect(engine, [reference])[reference]
    children = manifest.get("manifests") or []
    platforms = {
        _platform(child["platform"]): str(child["digest"])
        for child in children
        if (child.get("platform") or {}).get("os") not in (None, "unknown")
    }
    own = f"{found.get('Os')}/{found.get('Architecture')}"
    return _made(found, repository=repository, digest=digest, platforms=platforms or {own: digest})


def _made(document: Document, **more: Any) -> Made:
    return Made(_ref(document, **more), _unpacked(document))


def _unpacked(document: Document) -> tuple[str, ...]:
    return tuple((document.get("RootFS") or {}).get("Layers") or ())


def resolved(
    engine: Engine, settings: Settings, images: Mapping[str, str], engine_id: str, progress: Progress
) -> dict[str, ImageRef]:
    """The stores' images by content (name → image as the stack file has it). Nothing is built.

    By the digest that a record pins, pulled when the engine lacks it; a tag that somebody moved changes nothing.
    """
    digests = bases.pin(engine, settings, bases.of_stores(images, settings), progress)
    recorded = bases.known_digests(settings)
    places = {image: _places(settings, image, digest) for image, digest in digests.items()}
    only_here = {
        image for image, digest in digests.items() if digest not in (parse(image).digest, recorded.get(image))
    }
    wanted = [one for image, each in places.items() for one in ([digests[image]] if image in only_here else each)]
    found = engine_images.inspect(engine, wanted)
    refs: dict[str, ImageRef] = {}
    for name, image in images.items():
        if image in only_here:
            image_id = str(found[digests[image]]["Id"])
            refs[name] = _ref(found[digests[image]], image_id=image_id, engine_id=engine_id)
            continue
        there = next((one for one in places[image] if one in found), "")
        if not there:
            there = _pull(engine, image, places[image], progress)
            found |= engine_images.inspect(engine, [there])
        repository, _, digest = there.partition("@")
        refs[name] = _ref(found[there], repository=repository, digest=digest)
    return refs


def _places(settings: Settings, image: str, digest: str) -> list[str]:
    """References under which an engine may hold or pull it, the plainest first."""
    name = parse(image)
    plain = image.partition("@")[0]
    plain = plain[: -len(name.tag) - 1] if name.tag and plain.endswith(f":{name.tag}") else plain
    out = [f"{plain}@{digest}"]
    if settings.mirror and name.registry == HUB:
        out.append(name.pinned(digest, settings.mirror))
    return out


def _pull(engine: Engine, image: str, places: list[str], progress: Progress) -> str:
    # The mirror first, where there is one: it is there because the public registry is slow or out of reach.
    failed: OpsError | None = None
    for reference in reversed(places):
        try:
            with progress.step(f"pulling {image}"):
                engine_images.pull(engine, reference)
            return reference
        except OpsError as error:
            failed = failed or error
    raise OpsError(
        f"image {image} cannot be pulled as {places[0].partition('@')[2][:19]}",
        details=failed.details[-3:] if failed else (),
        remedy="is the registry reachable, and does it still have what deploy/bases.lock names?",
    )


def _ref(document: Document, **more: Any) -> ImageRef:
    return ImageRef(
        **{"fingerprint": "", **more},
        size=int(document.get("Size") or 0),
        user=str((document.get("Config") or {}).get("User", "")),
    )


def _platform(document: Document) -> str:
    parts = (document.get("os"), document.get("architecture"), document.get("variant"))
    return "/".join(str(part) for part in parts if part)
