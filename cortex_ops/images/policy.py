"""May this image run? A numeric user that is not root, no secret in any layer or in its history, its size.

A secret that a later layer deletes is still in the layer that brought it, so layers are read, not the result. What
was judged is remembered by content: an image that exists costs one read of the store, a layer is read once.
"""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

from cortex_ops.adapters import engine_images
from cortex_ops.adapters.engine import Engine
from cortex_ops.images.layers import Archive, Blob, Layouts, Saved
from cortex_ops.images.plan import Buildable
from cortex_ops.images.sensitive import name_finding, text_finding, value_finding
from cortex_ops.kernel.canonical import canonical, sha256
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import ImageRef, Value

VERSION = 4
_LAYERS = f"policy/layers/v{VERSION}/"
_BROKEN = (tarfile.TarError, EOFError, OSError, ValueError, zlib.error)
MAX_READ = 512 * 1024


class Finding(Value):
    """One reason not to run an image. `message` continues "image NAME: …"."""

    rule: Literal["user", "size", "argument", "environment", "history", "layer"]
    message: str


def judge_images(
    engine: Engine,
    store: Store,
    images: Mapping[Buildable, ImageRef],
    progress: Progress,
) -> dict[str, list[Finding]]:
    """Findings by name; none: it may run. The stack's own limits are judged anew each time, content only once."""
    references = [ref.reference() for ref in images.values()]
    known = {reference: store.get(_key(reference)) for reference in references}
    new = [reference for reference, cached in known.items() if cached is None]
    if new:
        with progress.step(f"reading every layer of {len(new)} image{'s' if len(new) > 1 else ''}"):
            there = engine_images.inspect(engine, new)
            for reference in new:
                if "@" in reference and reference not in there:
                    engine_images.pull(engine, reference)
            known |= read_images(engine, store, new)
    return {
        image.name: [
            *user_findings(ref.user),
            *size_findings(ref.size, image.size_budget),
            *argument_findings(image.arguments),
            *(Finding.model_validate(one) for one in json.loads(known[ref.reference()] or b"[]")),
        ]
        for image, ref in images.items()
    }


def known_layers(store: Store) -> list[str]:
    """Digests (hex) of all layers that were judged."""
    return [key.removeprefix(_LAYERS).removesuffix(".json") for key in store.list(_LAYERS)]


def _key(reference: str) -> str:
    return f"policy/v{VERSION}/{sha256(reference.encode())[:32]}.json"


def _layer_key(digest: str) -> str:
    return f"{_LAYERS}{digest}.json"


def unread(store: Store, references: Iterable[str]) -> list[str]:
    """Those images whose content nobody has judged."""
    return [one for one in references if store.get(_key(one)) is None]


def read_images(engine: Engine, store: Store, references: list[str]) -> dict[str, bytes]:
    """Judge the content of images and remember it; by reference."""
    found = content_findings(engine, store, references) if references else {}
    return {one: _keep(store, one, findings) for one, findings in found.items()}


def read_layouts(store: Store, layouts: Layouts, built: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Judge what a build wrote and remember it. `built`: name → (reference, what its layers unpack to, as the engine
    has them). What is not all there, or not the same, is left to `judge_images`."""
    with suppress(*_BROKEN):
        read_layers(store, layouts)
    for name, (reference, unpacked) in built.items():
        image = layouts.image(name)
        if image is None or image.unpacked() != unpacked:
            continue
        found = {digest: store.get(_layer_key(digest)) for digest in image.layers}
        layers = {digest: json.loads(text) for digest, text in found.items() if text is not None}
        if len(layers) == len(found):
            _keep(store, reference, _image_findings([image], layers))


def read_layers(store: Store, layouts: Layouts) -> None:
    for blob in layouts.layers():
        _layer_findings(store, blob)


def _keep(store: Store, reference: str, findings: list[Finding]) -> bytes:
    text = canonical([finding.model_dump() for finding in findings])
    store.put_if_absent(_key(reference), text)
    return text


def user_findings(user: str) -> list[Finding]:
    name = user.partition(":")[0]
    if not name or name == "root" or (name.isdigit() and int(name) == 0):
        return [Finding(rule="user", message="it runs as root; give its Dockerfile a numeric USER")]
    if not name.isdigit():
        text = f"its user {name!r} is a name; Kubernetes needs a number to prove that it is not root"
        return [Finding(rule="user", message=text)]
    return []


def size_findings(size: int, budget: int) -> list[Finding]:
    if budget and size > budget:
        text = f"it has {size / 1024**2:.0f} MiB, more than its budget of {budget / 1024**2:.0f} MiB"
        return [Finding(rule="size", message=text)]
    return []


def argument_findings(arguments: Iterable[tuple[str, str]]) -> list[Finding]:
    """Build arguments are kept in the image's history for everybody to read."""
    text = "its build argument {} looks like a secret, and arguments stay in the history; use a build secret"
    return [
        Finding(rule="argument", message=text.format(name))
        for name, value in arguments
        if value_finding(f"{name}={value}")
    ]


def content_findings(engine: Engine, store: Store, references: list[str]) -> dict[str, list[Finding]]:
    """Of configuration, history and all layers; by reference. One stream, in which shared layers come once."""
    archive = Archive()
    layers: dict[str, list[str]] = {}
    try:
        with engine_images.saved(engine, references) as stream:
            for blob in archive.layers(stream):
                layers[blob.digest] = _layer_findings(store, blob)
    except _BROKEN as error:
        raise OpsError(
            f"a layer of {', '.join(references)} cannot be read, so it cannot be judged: {error}"
        ) from error
    out: dict[str, list[Finding]] = {}
    for reference in references:
        out[reference] = _image_findings(archive.images(reference.rpartition("@")[2]), layers)
    return out


def _image_findings(images: Iterable[Saved], layers: Mapping[str, list[str]]) -> list[Finding]:
    """Of an image's platforms; `layers` are sentences by digest."""
    found: set[Finding] = set()
    for image in images:
        found |= set(config_findings(image.config))
        found |= {Finding(rule="layer", message=text) for digest in image.layers for text in layers[digest]}
    return sorted(found, key=lambda one: (one.rule, one.message))


def config_findings(document: dict[str, Any]) -> Iterator[Finding]:
    """Of an image's configuration; other documents of the archive have neither environment nor history."""
    for entry in (document.get("config") or {}).get("Env") or []:
        if value_finding(entry):
            yield Finding(rule="environment", message=f"its environment sets {entry.partition('=')[0]}")
    for step in document.get("history") or []:
        if name := value_finding(str(step.get("created_by") or "")):
            yield Finding(rule="history", message=f"its history shows a value for {name}")


def _layer_findings(store: Store, blob: Blob) -> list[str]:
    key = _layer_key(blob.digest)
    known = store.get(key)
    if known is None:
        known = canonical(sorted({text for text in _read_layer(blob)}))
        store.put_if_absent(key, known)
    found: list[str] = json.loads(known)
    return found


def _read_layer(blob: Blob) -> Iterator[str]:
    for path, size, read in blob.files:
        if not size:
            continue  # the place where a build secret was mounted
        if name_finding(path):
            yield f"a layer holds {path}, which looks like a secret"
        elif size <= MAX_READ and not re.search(r"(^|/)node_modules/", path) and (what := text_finding(path, read)):
            yield f"a layer holds {path}, which contains {what}"
