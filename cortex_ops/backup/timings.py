"""How long each step of one store took, in seconds, said as progress while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cortex_ops.backup.context import BackupContext


class Timings:
    """`seconds` by step, in the order in which they ended."""

    def __init__(self, ctx: BackupContext, store: str) -> None:
        self._ctx, self._store = ctx, store
        self.seconds: dict[str, float] = {}
        self._began = ctx.clock.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = self._ctx.clock.monotonic()
        with self._ctx.progress.step(f"{self._store}: {name}"):
            yield
        self.seconds[name] = self._ctx.clock.monotonic() - began

    def total(self) -> float:
        """Seconds since the first moment."""
        return self._ctx.clock.monotonic() - self._began
