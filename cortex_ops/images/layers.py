"""Images as layers: every file of every layer, then which image has which layers. Little memory. Judges nothing.

`Archive` reads the stream that `docker image save` writes, with every layer down to those of the base image.
`Layouts` are folders for the builder to write, which leave out what was judged before; an engine does that only from
a containerd image store.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cortex_ops.kernel.errors import OpsError

_MAX_JSON = 8 * 1024**2
BLOCK = 1024**2  # of the archive, most of which is layers that were judged before and are passed over
_BLOBS = "blobs/sha256/"


@dataclass(frozen=True)
class Blob:
    """One layer: `digest` (hex) and its files, each as (path, size, function that reads at most n bytes)."""

    digest: str
    files: Iterator[tuple[str, int, Callable[[int], bytes]]]


@dataclass(frozen=True)
class Saved:
    """One image (of one platform) of the archive. `layers` are digests (hex), lowest first."""

    config: dict[str, Any]
    layers: tuple[str, ...]

    def unpacked(self) -> tuple[str, ...]:
        """What its configuration says that its layers unpack to."""
        return tuple((self.config.get("rootfs") or {}).get("diff_ids") or ())


class Archive:
    """First read `layers` to the end; then ask for `images`."""

    def __init__(self) -> None:
        self._documents: dict[str, dict[str, Any]] = {}
        self._index: list[dict[str, Any]] = []
        self._layers: set[str] = set()

    def layers(self, stream: IO[bytes]) -> Iterator[Blob]:
        """In the order of the stream. A layer's files must be read before the next layer is asked for."""
        with tarfile.open(fileobj=stream, mode="r|", bufsize=BLOCK) as outer:
            for member in outer:
                body = outer.extractfile(member) if member.isfile() else None
                if body is not None and member.name == "manifest.json":
                    self._index = json.loads(body.read(_MAX_JSON))
                if body is None or not member.name.startswith(_BLOBS):
                    continue
                digest = member.name.removeprefix(_BLOBS)
                head = body.read(4)
                whole = _Prefixed(head, body)
                if _is_json(head):
                    self._documents[digest] = json.loads(whole.read(_MAX_JSON))
                else:
                    self._layers.add(digest)
                    yield Blob(digest, _files(_unpacked(head, whole)))

    def images(self, digest: str) -> list[Saved]:
        """What `sha256:…` names: an index, a manifest (as a containerd store has it) or a configuration (as the
        classic one). Raises `OpsError` when the archive lacks something of it."""
        document = self._document(digest)
        if "manifests" in document:  # platforms that are not here were not saved; attestations have no layers to run
            children = [str(child["digest"]) for child in document["manifests"]]
            found = [one for child in children if self._here(child) for one in self.images(child)]
            if found:
                return found
            raise OpsError(f"the engine saved no image of {digest}")
        if "layers" in document:
            config = self._document(str(document["config"]["digest"]))
            names = [str(layer["digest"]).removeprefix("sha256:") for layer in document["layers"]]
            return [self._saved(digest, config, names)]
        for entry in self._index:
            if str(entry.get("Config", "")).removeprefix(_BLOBS) == digest.removeprefix("sha256:"):
                names = [str(name).removeprefix(_BLOBS) for name in entry.get("Layers") or []]
                return [self._saved(digest, document, names)]
        raise OpsError(f"the engine saved {digest} without saying which layers it has")

    def _saved(self, digest: str, config: dict[str, Any], layers: list[str]) -> Saved:
        missing = [name for name in layers if name not in self._layers]
        if missing:
            raise OpsError(f"the engine saved {digest} without its layer {missing[0][:12]}, so it cannot be judged")
        return Saved(config, tuple(layers))

    def _here(self, digest: str) -> bool:
        return digest.removeprefix("sha256:") in self._documents

    def _document(self, digest: str) -> dict[str, Any]:
        if not self._here(digest):
            raise OpsError(f"the engine did not save {digest}, so it cannot be judged")
        return self._documents[digest.removeprefix("sha256:")]


class Layouts:
    """OCI layouts in `folder`, one for each image, whose blobs are one folder. The layers that `known` names (hex)
    are empty files there, which the builder takes for sent: the digest is all that it asks for."""

    def __init__(self, folder: Path, images: Iterable[str], known: Iterable[str]) -> None:
        self._folder, self._blobs = folder, folder / "_blobs" / "sha256"  # no image is called so
        self._blobs.mkdir(parents=True)
        for digest in known:
            (self._blobs / digest).touch()
        for image in images:
            (folder / image).mkdir()
            (folder / image / "blobs").symlink_to(self._blobs.parent)
        self._documents: set[str] = set()

    def layers(self) -> Iterator[Blob]:
        """Those that came since they were asked for last. Once read, a layer gives its place on the disk back."""
        for path in self._blobs.iterdir():
            if path.name in self._documents or not path.stat().st_size:
                continue
            with path.open("rb") as body:
                head = body.read(4)
                if _is_json(head):
                    self._documents.add(path.name)
                    continue
                yield Blob(path.name, _files(_unpacked(head, _Prefixed(head, body))))
            empty = self._blobs.parent / "empty"
            empty.touch()
            empty.replace(path)  # and not truncated: the builder makes them read-only

    def manifest(self, image: str) -> str:
        """Its digest, `sha256:…`; empty when the builder did not write one."""
        index = _document(self._folder / image / "index.json")
        return str(index["manifests"][0]["digest"]) if index else ""

    def image(self, name: str) -> Saved | None:
        """None when the builder did not write it."""
        manifest = self._read(self.manifest(name))
        config = self._read(str(manifest["config"]["digest"])) if manifest else {}
        if not config:
            return None
        return Saved(config, tuple(str(layer["digest"]).removeprefix("sha256:") for layer in manifest["layers"]))

    def _read(self, digest: str) -> dict[str, Any]:
        return _document(self._blobs / digest.removeprefix("sha256:"))


def _document(path: Path) -> dict[str, Any]:
    """Empty when there is none."""
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _is_json(head: bytes) -> bool:
    return head[:1] == b"{"


def _unpacked(head: bytes, body: Any) -> Any:
    if head[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=body)
    if head == b"\x28\xb5\x2f\xfd":
        import zstandard

        return zstandard.ZstdDecompressor().stream_reader(body)
    return body


def _files(stream: Any) -> Iterator[tuple[str, int, Callable[[int], bytes]]]:
    with tarfile.open(fileobj=stream, mode="r|") as layer:
        for member in layer:
            if not member.isfile():
                continue

            def read(limit: int, member: tarfile.TarInfo = member) -> bytes:
                body = layer.extractfile(member)
                return body.read(limit) if body is not None else b""

            yield member.name.removeprefix("./"), member.size, read


class _Prefixed:
    """Gives back bytes that were read to look at them."""

    def __init__(self, head: bytes, body: IO[bytes]) -> None:
        self._head, self._body = head, body

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._body.read(size)
        if size < 0:
            out, self._head = self._head + self._body.read(), b""
            return out
        out, self._head = self._head[:size], self._head[size:]
        return out if len(out) == size else out + self._body.read(size - len(out))
