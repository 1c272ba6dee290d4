"""Which content the base images and the stores' images have: three records, and how they come about.

`deploy/bases.lock` is committed and refreshed by one function. A bare machine, which builds its own, records what it
built in `.cortex/bases.json`, and that wins. What neither names is pinned to today's digest in
`.cortex/bases-found.json`, so that it does not move from build to build.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cortex_ops.adapters import engine_images, registry
from cortex_ops.adapters.build_log import missing_base
from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.files import write_atomic
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.settings import Settings

HUB = "docker.io"


@dataclass(frozen=True)
class Name:
    """An image as people write it: `node:24` is registry `docker.io`, path `library/node`, tag `24`, no digest."""

    registry: str
    path: str
    tag: str
    digest: str

    def pinned(self, digest: str, mirror: str = "") -> str:
        """`registry/path@digest`; from the mirror when one is set and it is an image of docker.io."""
        where = mirror if mirror and self.registry == HUB else self.registry
        return f"{where}/{self.path}@{digest}"


def parse(text: str) -> Name:
    rest, _, digest = text.partition("@")
    first, slash, after = rest.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = first, after
    else:
        registry, path = HUB, rest
    path, _, tag = path.partition(":")
    if registry == HUB and "/" not in path:
        path = f"library/{path}"
    return Name(registry, path, tag or ("" if digest else "latest"), digest)


def lock_file(settings: Settings) -> Path:
    return settings.project / "deploy" / "bases.lock"


def built_here(settings: Settings) -> Path:
    return settings.state / "bases.json"


def found_here(settings: Settings) -> Path:
    return settings.state / "bases-found.json"


def known_digests(settings: Settings) -> dict[str, str]:
    """Image, as it is written in a Dockerfile or the stack file → `sha256:…`."""
    out: dict[str, str] = {}
    for path in (found_here(settings), lock_file(settings), built_here(settings)):
        out |= _read(path)
    return out


def of_stores(images: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """`images` maps stores to their images; image → the entry of the stack file that names it."""
    return {image: f"stores.{name}.image of {settings.stack_file.name}" for name, image in images.items()}


def pin(engine: Engine, settings: Settings, wanted: Mapping[str, str], progress: Progress) -> dict[str, str]:
    """Digests of all `wanted` images (image → the place that names it), looking up those that no record has.

    Raises `OpsError` naming image and place when one can be found neither in its registry nor in the engine. An image
    that is only in the engine has no digest that a builder could pull: its id stands for it.
    """
    known = known_digests(settings)
    found = {image: parse(image).digest or known.get(image, "") for image in wanted}
    new: dict[str, str] = {}
    for image in (name for name, digest in found.items() if not digest):
        failed: OpsError | None = None
        try:
            found[image] = _in_registry(engine, settings, image, wanted[image])
        except OpsError as error:
            failed = error
        if found[image]:
            new[image] = found[image]
        elif local := engine_images.inspect(engine, [image]):
            found[image] = str(local[image]["Id"])
        else:
            raise failed or missing_base(image, wanted[image], "its registry does not have it")
    if new:
        names = ", ".join(sorted(new))
        progress.say(f"not in deploy/bases.lock, pinned on this machine to what they are today: {names}")
        document = json.dumps(dict(sorted((_read(found_here(settings)) | new).items())), indent=1)
        write_atomic(found_here(settings), document.encode() + b"\n")
    return found


def refresh(engine: Engine, settings: Settings, wanted: Mapping[str, str], progress: Progress) -> dict[str, str]:
    """Write `deploy/bases.lock` anew with what each image is in its registry today; returns what changed.

    Nothing is written unless every registry answers. An image that its registry does not have gets no entry.
    """
    if built_here(settings).is_file():
        raise RefusedError(
            "this machine builds its own base images, and their digests mean nothing elsewhere",
            remedy="refresh the lock where the public registries can be reached",
        )
    before, after = _read(lock_file(settings)), {}
    for image, place in wanted.items():
        if parse(image).digest:
            continue
        with progress.step(f"looking up {image}", quiet=True):
            digest = _in_registry(engine, settings, image, place)
        if digest:
            after[image] = digest
        elif image not in engine_images.inspect(engine, [image]):
            raise missing_base(image, place, "its registry does not have it")
    write_atomic(lock_file(settings), json.dumps(dict(sorted(after.items())), indent=1).encode() + b"\n")
    return {image: digest for image, digest in after.items() if before.get(image) != digest}


def contexts(settings: Settings, digests: Mapping[str, str]) -> dict[str, str]:
    """Named contexts for bake: each base image by digest, through the mirror where one is set.

    One that its Dockerfile pins itself, or that is only in the engine, is left to the builder.
    """
    known = known_digests(settings)
    return {
        image: f"docker-image://{parse(image).pinned(digest, settings.mirror)}"
        for image, digest in digests.items()
        if known.get(image) == digest and not parse(image).digest
    }


def _in_registry(engine: Engine, settings: Settings, image: str, place: str) -> str:
    """Its index digest today; empty when the registry does not have it."""
    name = parse(image)
    mirrored = settings.mirror and name.registry == HUB
    try:
        found = registry.manifest(engine, f"{settings.mirror}/{name.path}:{name.tag}" if mirrored else image)
    except OpsError as error:
        message = f"base image {image}, named at {place}, cannot be looked up: {error.message}"
        raise OpsError(message, details=error.details, remedy=error.remedy) from error
    return str(found["digest"]) if found is not None else ""


def _read(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text())
        return {str(image): str(digest) for image, digest in document.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise OpsError(f"{path} cannot be read: {error}", remedy="run `make setup` again") from error
