"""Where a run's lines go: progress to people, Dagster's own records to a file per run.

`dagster.yaml` names `RunFile`. Nothing here knows what a step is.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TextIO

from cortex_ops.kernel.clock import SYSTEM, iso
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.redact import redact
from cortex_ops.kernel.settings import load_settings

# Dagster points file descriptor 2 at a file while steps run, and copies that file to the console by a process of its
# own, which it may end before the last lines. So `dagster job execute` writes to the console itself.
_terminal: TextIO | None = None


def keep_terminal() -> None:
    """Remember the console of a terminal or of `dagster job execute`; called when the definitions are loaded."""
    global _terminal
    executes = sys.argv[1:3] == ["job", "execute"]
    if _terminal is None and (executes or sys.stderr.isatty()):
        _terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)


def console(stream: TextIO) -> Progress:
    """Progress on the terminal where there is one, else plain lines on `stream`."""
    return Progress(_terminal or stream)


def log_file(run_id: str) -> Path:
    return load_settings().state / "logs" / f"{run_id}.log"


def append(run_id: str, text: str) -> None:
    """Add lines to the run's file; a full disk must not fail the run for its log."""
    with contextlib.suppress(OSError):
        path = log_file(run_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{iso(SYSTEM.now())} {redact(text)}\n")


class RunFile(logging.Handler):
    """Dagster's own records of a run, each run in a file of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        append(str(meta.get("run_id") or "no-run"), f"{record.levelname} {record.getMessage()}")


Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


def speak_plainly(hook: Hook) -> Hook:
    """A `sys.excepthook` for `dagster job execute`: one sentence for people, the trace for a file."""

    def plain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            hook(kind, error, trace)
            return
        append("crash", "".join(traceback.format_exception(kind, error, trace)))
        first = (str(error).strip().splitlines() or [kind.__name__])[0]
        print(redact(f"✗ the run ended with {kind.__name__}: {first}"), file=sys.stderr)
        print(f"  everything that was logged: {log_file('crash')}", file=sys.stderr)

    return plain
