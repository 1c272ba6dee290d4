"""What a person sees of steps."""

from __future__ import annotations

import os
import pty
import threading

import pytest

from cortex_ops.kernel import progress
from cortex_ops.kernel.progress import Progress


def test_a_long_step_says_that_it_goes_on_only_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "STILL", 0.1)
    lines: list[str] = []
    ticked = threading.Event()

    def sink(line: str) -> None:
        lines.append(line)
        if line.startswith("  … slow ("):
            ticked.set()

    with Progress(sink=sink).step("slow"):
        assert ticked.wait(10)
    monkeypatch.setattr(progress, "STILL", 3600.0)
    with Progress(sink=sink).step("quick"):
        pass
    assert not any("… quick" in line for line in lines)


def test_a_long_line_on_a_terminal_stays_one_line_to_copy() -> None:
    master, terminal = pty.openpty()
    long = "sha256:" + "0 a" * 100
    with os.fdopen(terminal, "w") as stream:
        Progress(stream).say(long, style="green")
        shown = os.read(master, 4096).decode()
    os.close(master)
    assert long in shown
