"""Requests from outside while releases are promoted, rejected, crash and are rolled back: not one may fail."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.harness import Trial
from cortex_ops import pipeline
from cortex_ops.kernel.errors import OpsError
from tests.support.load import under_load
from tests.support.tiny import Tiny, tiny_project

REQUESTS = 20_000
ROLLOUTS = 10


def good(tiny: Tiny, turn: int) -> None:
    tiny.answer(f"good {turn}")
    assert tiny.release().ok


def rejected(tiny: Tiny, turn: int) -> None:
    tiny.answer(f"rejected {turn}", expected="something else")
    assert not tiny.release().ok


def crashing(tiny: Tiny, turn: int) -> None:
    tiny.answer(f"crashing {turn}", mode="crash")
    with contextlib.suppress(OpsError):
        tiny.release()
        raise AssertionError("a service that crashes was released")


def rolled_back(tiny: Tiny, turn: int) -> None:
    assert pipeline.rollback(tiny.wire(), "local").ok


KINDS: dict[str, Callable[[Tiny, int], None]] = {
    "promoted": good,
    "rejected": rejected,
    "promoted again": good,
    "rolled back": rolled_back,
    "crashing": crashing,
}


def roll(say: Callable[[str], None]) -> tuple[bool, dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder, tiny_project(Path(folder)) as tiny:
        assert tiny.release().ok
        began, turn = time.monotonic(), 0
        done = dict.fromkeys(KINDS, 0)
        with under_load(tiny.port, pause=0.004) as load:
            while turn < ROLLOUTS or load.sent < REQUESTS:
                name = list(KINDS)[turn % len(KINDS)]
                KINDS[name](tiny, turn)
                done[name] += 1
                turn += 1
                say(f"  {turn} rollouts, {load.sent} requests, {len(load.failures)} failed")
        wrong = [text for text in load.answers if text.startswith(("rejected", "crashing"))]
        figures = {
            "requests": load.sent,
            "failed": len(load.failures),
            "answered by a rejected release": sum(load.answers[text] for text in wrong),
            "rollouts": turn,
            "kinds": done,
            "seconds": round(time.monotonic() - began, 1),
            "first failures": load.failures[:5],
        }
    return not load.failures and not wrong and load.sent >= REQUESTS, figures


def cases() -> list[Trial]:
    target = f"0 failed of ≥ {REQUESTS:,} over ≥ {ROLLOUTS} rollouts"
    note = "kept-alive GET and POST, new connections, 2-second requests; no retries"
    return [Trial("requests while releases roll", target, roll, note)]
