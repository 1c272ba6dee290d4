"""A conversation with `psql` in a one-shot container: one connection, kept open, through one pair of pipes.

Statements are answered with one JSON value a line. Programs of the same image can be run from within (`psql`'s
`\\!`), so that a dump needs no second container and no second client.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import select
import time
from collections import deque
from typing import Any

from cortex_ops.backup.plain import Chunk, ends_with, widen
from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.process import Pipeline
from cortex_ops.kernel.redact import redact

# Terse: the context of an error quotes rows, and what is said here reaches logs.
PSQL = ("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-v", "SHOW_CONTEXT=never")
_END = "cortex-ops-end-of-answer"
_TAIL = 1024


class Session:
    """Statements and commands go in by standard input, so none of them is in an argument vector of ours."""

    def __init__(self, pipeline: Pipeline, what: str, *, deadline: float) -> None:
        self._pipeline, self.what = pipeline, what
        self._deadline, self._until = deadline, time.monotonic() + deadline
        self._pending = b""
        self._poll = select.poll()
        self._poll.register(pipeline.stdout, select.POLLIN)
        widen(pipeline.stdout.fileno())

    def ask(self, sql: str) -> list[Any]:
        """The rows of a statement whose single column is JSON. An error of the server ends the session."""
        return [json.loads(line) for line in self._lines(f"{sql}\n;\n") if line]

    def do(self, sql: str) -> None:
        """A statement whose rows do not matter."""
        self._lines(f"{sql}\n;\n")

    def shell(self, command: str, *, limit: int = 64 * 1024 * 1024, trailer: bytes = b"") -> bytes:
        """The whole output of a command in the session's container; raises when it fails or gives too much."""
        output, out = self.stream(command, trailer=trailer), bytearray()
        while data := output.read(65536):
            out += data
            if len(out) > limit:
                raise OpsError(f"{output.what} gave more than {limit} bytes, which was not expected")
        return bytes(out)

    def stream(self, command: str, *, trailer: bytes = b"") -> Output:
        """Run a command in the session's container and read what it gives, before anything else is asked."""
        if "\n" in command:
            raise OpsError(f"{command.split()[0]} cannot be run with a line break in its arguments")
        return Output(self, command, trailer)

    def close(self) -> None:
        """End the connection and check how `psql` ended."""
        self._pipeline.stdin.close()
        self._pipeline.wait(max(1.0, self._until - time.monotonic()))

    def send(self, text: str) -> None:
        try:
            self._pipeline.stdin.write(text.encode())
            self._pipeline.stdin.flush()
        except (BrokenPipeError, ValueError):
            self.over()

    def receive(self, size: int) -> bytes:
        """Whatever comes next, at least one byte; raises when the session ended or its time is over."""
        if self._pending:
            data, self._pending = self._pending, b""
            return data
        left = self._until - time.monotonic()
        if left <= 0 or not self._poll.poll(left * 1000):
            raise DeadlineError(f"{self.what} did not answer within {self._deadline:g} s")
        data = os.read(self._pipeline.stdout.fileno(), size)
        if not data:
            self.over()
        return data

    def said(self, path: str) -> list[str]:
        """The last lines of a file in the container: what a failed command wrote there."""
        return self._lines(f"\\! tail -n 25 {path}\n")

    def over(self) -> None:
        """The session ended by itself: raise with what its container said."""
        self._pipeline.wait(10)
        raise OpsError(f"{self.what} ended before it answered")

    def _lines(self, text: str) -> list[str]:
        self.send(f"{text}\\echo {_END}\n")
        lines: list[str] = []
        while (line := self._line()) != _END:
            lines.append(line)
        return lines

    def _line(self) -> str:
        while b"\n" not in self._pending:
            rest, self._pending = self._pending, b""
            self._pending = rest + self.receive(65536)
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode(errors="replace")


class Output:
    """A command's output as plain bytes (`streams.Plain`).

    Behind it the shell writes a line with the exit code that nothing else can hold, and nothing follows it. The
    end counts only when that line came, the code is zero and the trailer was seen; a command that was killed
    has another code, and a container that was killed no such line.
    """

    def __init__(self, session: Session, command: str, trailer: bytes) -> None:
        self.what = command.split()[0]
        self._session, self._trailer = session, trailer
        token = f"end-{secrets.token_hex(16)}"
        self._mark = re.compile(rb"\n%s ([0-9]+)\n\Z" % token.encode())
        self._hold = len(token) + 6  # bytes that may be a beginning of the mark
        self._errors = f"/tmp/{token}"
        self._ready: deque[Chunk] = deque()
        self._held = self._tail = b""
        self._code: int | None = None
        session.send(f"\\! {{ {command}; }} 2>{self._errors}; printf '\\n{token} %s\\n' \"$?\"\n")

    def push_back(self, data: bytes) -> None:
        """Give bytes back that were read too far; the next reads return them first."""
        if data:
            self._ready.appendleft(data)

    def read(self, size: int) -> Chunk:
        """At most `size` bytes of output; none at its good end. Raises at a bad one."""
        while not self._ready and self._code is None:
            self._take(self._session.receive(size))
        if not self._ready:
            self._judge()
            return b""
        chunk = self._ready.popleft()
        if len(chunk) > size:
            self._ready.appendleft(memoryview(chunk)[size:])
            return memoryview(chunk)[:size]
        return chunk

    def _take(self, data: bytes) -> None:
        """Pass on all but the last bytes, which may belong to the mark."""
        hold = self._hold
        if len(data) < hold:
            joined = self._held + data
            self._pass(joined[:-hold])
            self._held = joined[-hold:]
        else:
            self._pass(self._held)
            self._pass(memoryview(data)[:-hold])
            self._held = data[-hold:]
        if (mark := self._mark.search(self._held)) is not None:
            self._code = int(mark[1])
            self._pass(self._held[: mark.start()])

    def _pass(self, chunk: Chunk) -> None:
        if chunk:
            self._ready.append(chunk)
            self._tail = (self._tail + bytes(chunk[-_TAIL:]))[-_TAIL:]

    def _judge(self) -> None:
        if self._code:
            lines = [redact(line) for line in self._session.said(self._errors)]
            cause = next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")
            raise OpsError(f"{self.what} failed (exit {self._code})" + (f": {cause}" if cause else ""), details=lines)
        if self._trailer and not ends_with(self._tail, self._trailer):
            raise OpsError(
                f"{self.what} ended without its last line, {self._trailer.decode()!r}: the output is not whole"
            )
