"""What can be said of any store: a prefix, retries. Each wraps a store and is one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.store import Reader, StreamStore, TransientError, Writer
from cortex_ops.store.keys import check_key, check_prefix

T = TypeVar("T")
Say = Callable[[str], None]


class Wrapper:
    """Passes everything on; the others say only what they change."""

    def __init__(self, inner: StreamStore) -> None:
        self.inner = inner

    def get(self, key: str) -> bytes | None:
        return self.inner.get(key)

    def list(self, prefix: str) -> list[str]:
        return self.inner.list(prefix)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.inner.put_if_absent(key, data)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def open_writer(self, key: str) -> Writer:
        return self.inner.open_writer(key)

    def open_reader(self, key: str) -> Reader:
        return self.inner.open_reader(key)

    def lock(self, name: str, *, holder: str, seconds: float) -> AbstractContextManager[None]:
        return self.inner.lock(name, holder=holder, seconds=seconds)

    def reap(self, prefix: str, *, say: Say = lambda _text: None) -> int:
        return self.inner.reap(prefix, say=say)


class Prefixed(Wrapper):
    """The part of a store whose keys start with `prefix/`. Its own keys are relative to that.

    Locks are of the whole store (their names already are), so two prefixes of one bucket share them.
    """

    def __init__(self, inner: StreamStore, prefix: str) -> None:
        super().__init__(inner)
        self.prefix = check_key(prefix.strip("/")) + "/"

    def get(self, key: str) -> bytes | None:
        return self.inner.get(self.prefix + check_key(key))

    def list(self, prefix: str) -> list[str]:
        return [key.removeprefix(self.prefix) for key in self.inner.list(self.prefix + check_prefix(prefix))]

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.inner.put_if_absent(self.prefix + check_key(key), data)

    def delete(self, key: str) -> None:
        self.inner.delete(self.prefix + check_key(key))

    def open_writer(self, key: str) -> Writer:
        return self.inner.open_writer(self.prefix + check_key(key))

    def open_reader(self, key: str) -> Reader:
        return self.inner.open_reader(self.prefix + check_key(key))

    def lock(self, name: str, *, holder: str, seconds: float) -> AbstractContextManager[None]:
        return self.inner.lock(self.prefix + check_key(name), holder=holder, seconds=seconds)

    def reap(self, prefix: str, *, say: Say = lambda _text: None) -> int:
        return self.inner.reap(self.prefix + check_prefix(prefix), say=say)


class Retrying(Wrapper):
    """Tries whole-object calls again after a `TransientError`, and after nothing else; waits double from 0.5 s.

    A stream is not tried again as a whole: its parts are, by the client, and its reader continues by itself.
    """

    def __init__(self, inner: StreamStore, *, tries: int = 4, wait: float = 0.5, clock: Clock = SYSTEM) -> None:
        super().__init__(inner)
        self.tries, self.wait, self.clock = tries, wait, clock

    def _try(self, call: Callable[[], T]) -> T:
        for number in range(self.tries - 1):
            try:
                return call()
            except TransientError:
                self.clock.sleep(self.wait * 2**number)
        return call()

    def get(self, key: str) -> bytes | None:
        return self._try(lambda: self.inner.get(key))

    def list(self, prefix: str) -> list[str]:
        return self._try(lambda: self.inner.list(prefix))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._try(lambda: self.inner.put_if_absent(key, data))

    def delete(self, key: str) -> None:
        self._try(lambda: self.inner.delete(key))

    def open_reader(self, key: str) -> Reader:
        return self._try(lambda: self.inner.open_reader(key))
