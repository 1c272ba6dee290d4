"""The questions a store answers. Implementations are in `cortex_ops.store`.

`Store` is what nearly everything needs. `StreamStore` adds what backups need: objects too big for memory, an
exclusive lock, and removal of what writers that died left unfinished.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from cortex_ops.kernel.errors import OpsError


class TransientError(OpsError):
    """A failure that may be gone at the next try (a time-out, a throttled request). Only these are retried."""


class Store(Protocol):
    """Create-once objects by key (`a/b/c.json`). Keys use `/`; values are bytes.

    No key is a folder of another: where `a` is an object, `a/b` is none.
    """

    def get(self, key: str) -> bytes | None:
        """The object, or None when there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """All keys that start with `prefix`, sorted."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write durably; False (and no change) when the key already exists."""
        ...

    def delete(self, key: str) -> None:
        """Remove; nothing happens when there is none."""
        ...


class Writer(Protocol):
    """One object in the making. Leaving its block without `commit` leaves nothing behind."""

    def write(self, data: bytes) -> int:
        """Take all of `data`; returns its length."""
        ...

    def commit(self) -> bool:
        """Publish whole and durable; False (and no change) when the key already exists."""
        ...

    def abort(self) -> None:
        """Remove what was written. Nothing happens after a commit."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class Reader(Protocol):
    """One object being read. `size` is its length in bytes; fewer bytes than that is an error, not an end."""

    size: int

    def read(self, size: int = 65536) -> bytes:
        """At most `size` bytes, empty at the end."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class StreamStore(Store, Protocol):
    """A store that also streams, locks and cleans up after the dead."""

    def open_writer(self, key: str) -> Writer: ...

    def open_reader(self, key: str) -> Reader:
        """Raises `OpsError` when there is no such object."""
        ...

    def lock(self, name: str, *, holder: str, seconds: float) -> AbstractContextManager[None]:
        """Hold `name` exclusively; raises `RefusedError` naming the holder. A holder that is known to be dead,
        or has held it longer than the `seconds` it announced, is taken over."""
        ...

    def reap(self, prefix: str, *, say: Callable[[str], None] = lambda _text: None) -> int:
        """Remove unfinished writes that nobody is writing any more; returns how many.

        Where the store cannot tell dead writers from living ones, all under `prefix` are removed: call it with
        the lock that the writers under this prefix hold.
        """
        ...
