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

STILL = 20.0  # seconds of silence after which a step says that it goes on


class Progress:
    """Prints `what … 1.2 s` lines. On a terminal `rich` colours them; piped output stays plain."""

    def __init__(self, stream: TextIO | None = None, sink: Callable[[str], None] | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._sink = sink
        self._lock = threading.Lock()
        self._said = time.monotonic()
        self.terminal = sink is None and self._stream.isatty()

    def say(self, text: str, *, style: str = "") -> None:
        """One line, now."""
        text = redact(text)
        with self._lock:
            self._said = time.monotonic()
            if self._sink is not None:
                self._sink(text)
            elif self.terminal:
                # Long lines are the terminal's to wrap: it knows its width, and what is copied from it stays whole.
                _console(self._stream).print(
                    text, style=style or None, markup=False, highlight=False, emoji=False, soft_wrap=True
                )
            else:
                self._stream.write(text + "\n")
                self._stream.flush()

    @contextmanager
    def step(self, what: str, *, quiet: bool = False) -> Iterator[None]:
        """Say that `what` began and, when it ends, how long it took or that it failed."""
        if not quiet:
            self.say(f"· {what}", style="dim")
        began, ended = time.monotonic(), threading.Event()
        threading.Thread(target=self._tick, args=(what, began, ended), daemon=True).start()
        try:
            yield
        except BaseException:
            ended.set()
            self.say(f"✗ {what} failed after {time.monotonic() - began:.1f} s", style="red")
            raise
        ended.set()
        self.say(f"✓ {what} ({time.monotonic() - began:.1f} s)", style="green")

    def _tick(self, what: str, began: float, ended: threading.Event) -> None:
        """A long step says now and then that it goes on, where nothing else was said."""
        while not ended.wait(max(0.05, self._said + STILL - time.monotonic())):
            if time.monotonic() - self._said >= STILL:
                self.say(f"  … {what} ({time.monotonic() - began:.0f} s)", style="dim")


def _console(stream: TextIO):  # type: ignore[no-untyped-def]
    from rich.console import Console

    return Console(file=stream)


class Silent(Progress):
    """Says nothing; tests and pure calls use it."""

    def __init__(self) -> None:
        super().__init__(sink=lambda _text: None)


SILENT = Silent()
