"""May this image run? A numeric user that is not root, no secret in any layer or in its history, its size.

A secret that a later layer deletes is still in the layer that brought it, so layers are read, not the result.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from cortex_ops.adapters.engine import Engine
from cortex_ops.images.plan import Buildable
from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import ImageRef

_FILES = re.compile(
    r"(^|/)(\.env(\.[\w-]+)?|\.npmrc\.local|id_(rsa|dsa|ecdsa|ed25519)|[\w.-]+\.(key|pfx|p12|keystore)|"
    r"\.?aws/credentials|\.docker/config\.json|\.netrc|\.git-credentials|secrets?/[\w.-]+)$"
)
_HARMLESS = re.compile(
    r"^(usr|lib|etc/ssl|var/lib/dpkg|var/lib/postgresql)/|/node_modules/|\.example$|\.sample$|(^|/)\.wh\."
)
_PRIVATE = re.compile(
    rb"-----BEGIN (?:RSA |EC |OPENSSH |ENCRYPTED |DSA )?PRIVATE KEY-----"
    rb"\s*(?:[\w-]+: [^\n]*\n)*\s*[A-Za-z0-9+/=]{40,}"  # the header alone is in every TLS library's source
)
_AGE = re.compile(rb"AGE-SECRET-KEY-1[0-9A-Z]{20,}")
_WORD = re.compile(r"(password|passwd|secret|token|api_?key|private_?key)\w*=[^\s$]{4,}", re.I)
_PATHS = re.compile(r"_file=|=/run/|=\$", re.I)
MAX_READ = 512 * 1024
VERSION = 3


def judge_image(engine: Engine, store: Store, image: Buildable, ref: ImageRef, progress: Progress) -> list[str]:
    """Findings as sentences; empty: it may run. Cached by image, so that an unchanged one costs one read."""
    key = f"policy/v{VERSION}/{sha256(ref.reference().encode())[:32]}.json"
    cached = store.get(key)
    if cached is None:
        with progress.step(f"reading every layer of {image.name}", quiet=True):
            findings = [*content_findings(engine, store, ref.reference())]
        cached = json.dumps(sorted(set(findings))).encode()
        store.put_if_absent(key, cached)
    return [*user_findings(ref.user), *size_findings(ref.size, image.size_budget), *json.loads(cached)]


def user_findings(user: str) -> list[str]:
    name = user.partition(":")[0]
    if not name or name in ("0", "root"):
        return ["it runs as root; give its Dockerfile a numeric USER"]
    if not name.isdigit():
        return [f"its user {name!r} is a name; Kubernetes needs a number to prove that it is not root"]
    return []


def size_findings(size: int, budget: int) -> list[str]:
    if budget and size > budget:
        return [f"it has {size / 1024**2:.0f} MiB, more than its budget of {budget / 1024**2:.0f} MiB"]
    return []


def content_findings(engine: Engine, store: Store, reference: str) -> Iterator[str]:
    """Read the image's history, environment and all layers; a layer that was judged before is not read again."""
    api = engine.client.api
    info = engine.guard(api.inspect_image, reference)
    for entry in (info.get("Config") or {}).get("Env") or []:
        if _WORD.search(entry) and not _PATHS.search(entry):
            yield f"its environment sets {entry.partition('=')[0]}"
    for layer in _history(engine, reference):
        made = str(layer.get("CreatedBy") or "")
        match = _WORD.search(made)
        if match and not _PATHS.search(match[0]):
            yield f"its history shows a value for {match[0].partition('=')[0]}"
    stream = _Chunks(engine.guard(api.get_image, reference))
    with tarfile.open(fileobj=stream, mode="r|") as outer:
        for member in outer:
            blob = re.fullmatch(r"blobs/sha256/([0-9a-f]{64})|(.*/layer\.tar)", member.name)
            if blob is None or not member.isfile() or member.size <= 1024:
                continue
            known = store.get(f"policy/layers/v{VERSION}/{blob[1]}.json") if blob[1] else None
            if known is None:
                body = outer.extractfile(member)
                known = json.dumps(sorted(set(_layer(body) if body is not None else []))).encode()
                if blob[1]:
                    store.put_if_absent(f"policy/layers/v{VERSION}/{blob[1]}.json", known)
            yield from json.loads(known)


def _history(engine: Engine, reference: str) -> list[dict[str, Any]]:
    """The engine's own account; an image that was exported from the cache has none until it is unpacked, so its
    configuration in the archive is read as well (`_layer`)."""
    from docker.errors import NotFound

    try:
        return list(engine.guard(engine.client.api.history, reference))
    except NotFound:
        return []


def _layer(body: Any) -> Iterator[str]:
    head = body.read(4)
    if head[:1] == b"{":
        document = json.loads(head + body.read())
        for entry in document.get("history") or []:
            match = _WORD.search(str(entry.get("created_by") or ""))
            if match and not _PATHS.search(match[0]):
                yield f"its history shows a value for {match[0].partition('=')[0]}"
        return
    stream: Any = _Prefixed(head, body)
    if head[:2] == b"\x1f\x8b":
        stream = gzip.GzipFile(fileobj=stream)
    elif head == b"\x28\xb5\x2f\xfd":
        import zstandard

        stream = zstandard.ZstdDecompressor().stream_reader(stream)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as layer:
            for member in layer:
                if not member.isfile():
                    continue
                name = member.name.removeprefix("./")
                if _HARMLESS.search(name):
                    continue
                if _FILES.search(name):
                    yield f"a layer holds {name}, which looks like a secret"
                elif 0 < member.size <= MAX_READ:
                    inner = layer.extractfile(member)
                    data = inner.read() if inner is not None else b""
                    if _PRIVATE.search(data) or _AGE.search(data):
                        yield f"a layer holds {name}, which contains a private key"
    except tarfile.ReadError:
        return  # a blob that is no layer (a manifest, a configuration)


class _Chunks(io.RawIOBase):
    """A reader over the engine's chunks, for tarfile's stream mode."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        size = len(self._rest) if size < 0 else size
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


class _Prefixed:
    """Gives back bytes that were read to look at them."""

    def __init__(self, head: bytes, body: Any) -> None:
        self._head, self._body = head, body

    def read(self, size: int = -1) -> bytes:
        if self._head and size >= 0:
            out, self._head = self._head[:size], self._head[size:]
            return out if len(out) == size else out + self._body.read(size - len(out))
        return bytes(self._body.read(size))
