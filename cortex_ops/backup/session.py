"""A conversation with `psql` in a one-shot container: one connection, kept open, one JSON value a line."""

from __future__ import annotations

import json
import os
import select
import time
from typing import Any

from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.process import Pipeline

# Terse: the context of an error quotes rows, and what is said here reaches logs.
PSQL = ("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=terse", "-v", "SHOW_CONTEXT=never")
_END = "cortex-ops-end-of-answer"


class Session:
    """Statements go in by standard input, so none of them is in an argument vector."""

    def __init__(self, pipeline: Pipeline, what: str, *, deadline: float) -> None:
        self._pipeline, self.what = pipeline, what
        self._deadline, self._until = deadline, time.monotonic() + deadline
        self._pending = b""
        self._poll = select.poll()
        self._poll.register(pipeline.stdout, select.POLLIN)

    def ask(self, sql: str) -> list[Any]:
        """The rows of a statement whose single column is JSON. An error of the server ends the session."""
        self._send(f"{sql}\n;\n\\echo {_END}\n")
        lines = []
        while (line := self._line()) != _END:
            lines.append(line)
        return [json.loads(line) for line in lines if line]

    def do(self, sql: str) -> None:
        """A statement whose rows do not matter."""
        self._send(f"{sql}\n;\n\\echo {_END}\n")
        while self._line() != _END:
            pass

    def shell(self, command: str) -> str:
        """The output of a command in the session's container."""
        self._send(f"\\! {command}\n\\echo {_END}\n")
        lines = []
        while (line := self._line()) != _END:
            lines.append(line)
        return "\n".join(lines).strip()

    def close(self) -> None:
        """End the connection and check how `psql` ended."""
        self._pipeline.stdin.close()
        self._pipeline.wait(max(1.0, self._until - time.monotonic()))

    def _send(self, text: str) -> None:
        try:
            self._pipeline.stdin.write(text.encode())
            self._pipeline.stdin.flush()
        except (BrokenPipeError, ValueError):
            self._ended()

    def _line(self) -> str:
        while b"\n" not in self._pending:
            left = self._until - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                raise DeadlineError(f"{self.what} did not answer within {self._deadline:g} s")
            data = os.read(self._pipeline.stdout.fileno(), 65536)
            if not data:
                self._ended()
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode()

    def _ended(self) -> None:
        self._pipeline.wait(10)
        raise OpsError(f"{self.what} ended before it answered")
