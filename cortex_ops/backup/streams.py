"""Plain bytes ⇄ stored bytes: zstd, then age, then sha256, in this process and in bounded memory.

Measured here against the programs `zstd -1 -T2`, `sha256sum` and `age`: the wheels do the same work without
three more processes and pipes. Nothing here knows of databases or containers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from cortex_ops.backup.manifest import Part
from cortex_ops.backup.plain import Chunk
from cortex_ops.kernel.errors import InterruptedByUser, OpsError
from cortex_ops.kernel.store import Reader, StreamStore

CHUNK = 256 * 1024
LEVEL = 1  # and no threads: docs/decisions.md says why


class Plain(Protocol):
    """Where plain bytes come from. `read` returns none only when all is well: a producer that died, or whose
    output is not whole, makes it raise instead, so that nothing incomplete is ever published."""

    def read(self, size: int) -> Chunk: ...


class _Guard:
    """Remembers the first exception of our callbacks; `pyrage` reports them as strings only."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def run(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException as error:
            self.error = self.error or error
            raise

    @contextmanager
    def around(self, what: str) -> Any:
        try:
            yield
        except BaseException as error:
            if self.error is not None and self.error is not error:
                raise self.error from None
            if isinstance(error, OpsError) or not isinstance(error, Exception):
                raise
            # A signal may strike just before our callback runs: then only the text says that it was one.
            kind, _, text = str(error).partition(": ")
            if kind in ("InterruptedByUser", "KeyboardInterrupt"):
                raise InterruptedByUser(text or "told to end") from error
            raise OpsError(f"{what}: {error}") from error


class _Compressed:
    """Reads plain bytes, gives compressed ones."""

    def __init__(self, plain: Plain, guard: _Guard) -> None:
        import zstandard

        self._plain, self._guard = plain, guard
        self._zstd = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj()
        self._ready = memoryview(b"")
        self._done = False
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        return self._guard.run(lambda: self._read(size))

    def _read(self, size: int) -> bytes:
        while not self._ready and not self._done:
            data = self._plain.read(CHUNK)
            self.size += len(data)
            if data:
                self._ready = memoryview(self._zstd.compress(data))
            else:
                self._ready, self._done = memoryview(self._zstd.flush()), True
        end = len(self._ready) if size < 0 else size
        out, self._ready = self._ready[:end], self._ready[end:]
        return bytes(out)


class _Hashed:
    """Passes bytes on to a store's writer, counting and hashing them."""

    def __init__(self, write: Callable[[bytes], int], guard: _Guard) -> None:
        self._write, self._guard = write, guard
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        return self._guard.run(lambda: self._take(data))

    def _take(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self._write(data)

    def flush(self) -> None:
        pass


def store_part(store: StreamStore, key: str, name: str, plain: Plain, recipients: tuple[str, ...]) -> Part:
    """Compress, encrypt and store; published only after `plain` ended well. Raises when the key exists."""
    import pyrage

    to = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
    guard = _Guard()
    with store.open_writer(key) as writer:
        source, sink = _Compressed(plain, guard), _Hashed(writer.write, guard)
        with guard.around(f"encrypting {key}"):
            pyrage.encrypt_io(source, sink, to)
        if not writer.commit():
            raise OpsError(f"{key} exists already, and no part of a backup is ever overwritten")
    return Part(name=name, key=key, size=sink.size, sha256=sink.sha256.hexdigest(), plain_size=source.size)


class _Source:
    """Reads a stored object, hashing it."""

    def __init__(self, reader: Reader, guard: _Guard) -> None:
        self._reader, self._guard = reader, guard
        self.sha256 = hashlib.sha256()
        self._ready = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        return self._guard.run(lambda: self._read(size))

    def _read(self, size: int) -> bytes:
        if not self._ready:
            data = self._reader.read(CHUNK)
            self.sha256.update(data)
            self._ready = memoryview(data)
        end = len(self._ready) if size < 0 else size
        out, self._ready = self._ready[:end], self._ready[end:]
        return bytes(out)

    def drain(self) -> str:
        while data := self._reader.read(CHUNK):
            self.sha256.update(data)
        return self.sha256.hexdigest()


class _Expanded:
    """Takes compressed bytes, passes plain ones on."""

    def __init__(self, take: Callable[[bytes], Any], guard: _Guard) -> None:
        import zstandard

        self._take, self._guard = take, guard
        self._zstd = zstandard.ZstdDecompressor().decompressobj()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._guard.run(lambda: self._expand(data))
        return len(data)

    def _expand(self, data: bytes) -> None:
        plain = self._zstd.decompress(data)
        self.size += len(plain)
        if plain:
            self._take(plain)

    def flush(self) -> None:
        pass

    def whole(self) -> bool:
        return bool(self._zstd.eof) and not self._zstd.unused_data


@dataclass(frozen=True)
class Fetched:
    """How much went through, in bytes."""

    stored: int
    plain: int


def fetch_part(store: StreamStore, part: Part, identity: Any, take: Callable[[bytes], Any]) -> Fetched:
    """Verify, decrypt and expand a part into `take`. What `take` got counts only when this returns.

    Raises `OpsError`: wrong size, wrong sha256, not decryptable, not whole. `take` must not act for good on what
    it gets (commit, rename) before.
    """
    import pyrage

    guard = _Guard()
    with store.open_reader(part.key) as reader:
        check_size(part, reader.size)
        source, sink = _Source(reader, guard), _Expanded(take, guard)
        try:
            with guard.around(f"{part.key} cannot be decrypted"):
                pyrage.decrypt_io(source, sink, [identity])
        except OpsError:
            if guard.error is None:  # damage shows as failed decryption first; the sum says that it is damage
                _check_sum(part, source.drain())
            raise
        _check_sum(part, source.drain())
    if not sink.whole() or sink.size != part.plain_size:
        raise OpsError(f"{part.key} holds {sink.size} plain bytes, and the manifest says {part.plain_size}")
    return Fetched(stored=part.size, plain=sink.size)


def verify_part(store: StreamStore, part: Part) -> None:
    """Read a stored part and compare its size and sha256 with the manifest; decrypts nothing."""
    with store.open_reader(part.key) as reader:
        check_size(part, reader.size)
        digest = hashlib.sha256()
        while data := reader.read(4 * CHUNK):
            digest.update(data)
    _check_sum(part, digest.hexdigest())


def check_size(part: Part, size: int) -> None:
    if size != part.size:
        kind = "truncated" if size < part.size else "longer than it was"
        raise OpsError(f"{part.key} is {kind}: {size} bytes, and the manifest says {part.size}")


def _check_sum(part: Part, found: str) -> None:
    if found != part.sha256:
        raise OpsError(
            f"{part.key} is damaged: its sha256 is {found[:16]}…, and the manifest says {part.sha256[:16]}…"
        )
