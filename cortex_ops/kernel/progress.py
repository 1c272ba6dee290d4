"""What a person sees while work goes on: steps with their time, on a terminal or as plain lines.

One `Progress` is passed down; it never decides anything. Everything printed is redacted.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from cortex_ops.kernel.redact import redact


class Progress:
    """Prints `what … 1.2 s` lines. On a terminal `rich` colours them; piped output stays plain."""

    def __init__(self, stream: TextIO | None = None, sink: Callable[[str], None] | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._sink = sink
        self._lock = threading.Lock()
        self.terminal = sink is None and self._stream.isatty()

    def say(self, text: str, *, style: str = "") -> None:
        """One line, now."""
        text = redact(text)
        with self._lock:
            if self._sink is not None:
                self._sink(text)
            elif self.terminal:
                _console(self._stream).print(text, style=style or None, markup=False, highlight=False)
            else:
                self._stream.write(text + "\n")
                self._stream.flush()

    @contextmanager
    def step(self, what: str, *, quiet: bool = False) -> Iterator[None]:
        """Say that `what` began and, when it ends, how long it took or that it failed."""
        if not quiet:
            self.say(f"· {what}", style="dim")
        began = time.monotonic()
        try:
            yield
        except BaseException:
            self.say(f"✗ {what} failed after {time.monotonic() - began:.1f} s", style="red")
            raise
        self.say(f"✓ {what} ({time.monotonic() - began:.1f} s)", style="green")


def _console(stream: TextIO):  # type: ignore[no-untyped-def]
    from rich.console import Console

    return Console(file=stream)


class Silent(Progress):
    """Says nothing; tests and pure calls use it."""

    def __init__(self) -> None:
        super().__init__(sink=lambda _text: None)


SILENT = Silent()
