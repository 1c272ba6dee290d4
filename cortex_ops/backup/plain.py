"""Plain bytes on their way: what a dump's end looks like, bytes at hand, and the input of a program that runs.

Where a dump's bytes come from is in `session`; what becomes of them in `streams`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import time

from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.process import Pipeline

Chunk = bytes | memoryview
_PIPE = 1024 * 1024
_AFTER = re.compile(rb"(\s|--|\\unrestrict [A-Za-z0-9]+)*")  # what may follow the trailer


def widen(handle: int) -> None:
    """A bigger pipe means fewer switches between its two sides. Linux only; elsewhere nothing happens."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, _PIPE)


def ends_with(tail: bytes, trailer: bytes) -> bool:
    """True when the trailer is a line of its own and nothing but blank and comment lines follows."""
    at = tail.rfind(trailer)
    if at < 0 or (at > 0 and tail[at - 1 : at] != b"\n"):
        return False
    return _AFTER.fullmatch(tail[at + len(trailer) :]) is not None


class BytesPlain:
    """Bytes that are at hand, as a source of plain bytes."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    def read(self, size: int) -> bytes:
        out, self._rest = self._rest[:size], self._rest[size:]
        return bytes(out)


class ProcessSink:
    """A pipeline's input. A program that ends early is blamed with its own last words, not with a broken pipe."""

    def __init__(self, pipeline: Pipeline, what: str, *, deadline: float) -> None:
        self._pipeline, self.what = pipeline, what
        self._deadline, self._until = deadline, time.monotonic() + deadline
        self._handle = pipeline.stdin.fileno()
        os.set_blocking(self._handle, False)
        self._poll = select.poll()
        self._poll.register(self._handle, select.POLLOUT)
        widen(self._handle)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            left = self._until - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise DeadlineError(f"{self.what} did not end within {self._deadline:g} s")
            try:
                view = view[os.write(self._handle, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self._pipeline.wait(10)
                raise OpsError(f"{self.what} ended before it had read everything") from None

    def close(self) -> None:
        """Say that this was all, and check how the program ends."""
        self._pipeline.stdin.close()
        self._pipeline.wait(max(1.0, self._until - time.monotonic()))
