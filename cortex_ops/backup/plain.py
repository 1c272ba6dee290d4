"""Plain bytes out of and into programs that run, each with a deadline, believed only when they ended well."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import time

from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.process import Pipeline

_TAIL = 1024
_PIPE = 1024 * 1024
_AFTER = re.compile(rb"(\s|--|\\unrestrict [A-Za-z0-9]+)*")  # what may follow the trailer


class ProcessPlain:
    """A pipeline's output. At its end all exit codes are checked, and the trailer when one is given.

    A producer that was killed ends its output just like one that finished; that is why the end is not believed.
    """

    def __init__(self, pipeline: Pipeline, what: str, *, deadline: float, trailer: bytes = b"") -> None:
        self._pipeline, self.what = pipeline, what
        self._until = time.monotonic() + deadline
        self._deadline = deadline
        self._trailer = trailer
        self._tail = self._head = b""
        self.size = 0
        self._poll = select.poll()
        self._poll.register(pipeline.stdout, select.POLLIN)
        with contextlib.suppress(OSError, AttributeError):  # fewer switches between the two sides; Linux only
            fcntl.fcntl(pipeline.stdout, fcntl.F_SETPIPE_SZ, _PIPE)

    def push_back(self, data: bytes) -> None:
        """Give bytes that were read too far back; the next reads return them first."""
        self._head = data + self._head

    def read(self, size: int) -> bytes:
        if self._head:
            out, self._head = self._head[:size], self._head[size:]
            return out
        data = self._wait_and_read(size)
        if not data:
            self._end()
            return b""
        self.size += len(data)
        if self._trailer:
            self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]
        return data

    def _wait_and_read(self, size: int) -> bytes:
        stream = self._pipeline.stdout
        left = self._until - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise DeadlineError(f"{self.what} did not end within {self._deadline:g} s")
        return os.read(stream.fileno(), size)

    def _end(self) -> None:
        self._pipeline.wait(max(1.0, self._until - time.monotonic()))
        if self._trailer and not ends_with(self._tail, self._trailer):
            raise OpsError(
                f"{self.what} ended without its last line, {self._trailer.decode()!r}: the output is not whole"
            )


def ends_with(tail: bytes, trailer: bytes) -> bool:
    """True when the trailer is a line of its own and nothing but blank and comment lines follows."""
    at = tail.rfind(trailer)
    if at < 0 or (at > 0 and tail[at - 1 : at] != b"\n"):
        return False
    return _AFTER.fullmatch(tail[at + len(trailer) :]) is not None


def read_all(plain: ProcessPlain, limit: int) -> bytes:
    """Everything, for output that is small; `OpsError` above `limit` bytes."""
    parts, size = [], 0
    while data := plain.read(_PIPE):
        parts.append(data)
        size += len(data)
        if size > limit:
            raise OpsError(f"{plain.what} gave more than {limit} bytes, which was not expected")
    return b"".join(parts)


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
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self._handle, fcntl.F_SETPIPE_SZ, _PIPE)

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
