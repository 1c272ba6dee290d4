"""Interleaved pairs (ours, raw, raw, ours …), wall and CPU seconds with children, and a judged ratio.

Runs within one machine drift, so ratios are taken pair by pair, and the interval is a bootstrap of the median
of the paired ratios (or differences). A row is `ok` only when the whole interval clears its target.
"""

from __future__ import annotations

import os
import platform
import random
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Side = Callable[[], Any]


@dataclass
class Case:
    """One row. `kind`: `ratio` (ours / raw ≤ target), `extra` (ours − raw ≤ target seconds), `rate`
    (raw / ours ≥ target), or `alone` (ours ≤ target, no raw side)."""

    name: str
    kind: Literal["ratio", "extra", "rate", "alone"]
    target: float
    ours: Side
    raw: Side | None = None
    raw_command: str = ""
    pairs: int = 15
    cpu: bool = False  # judge CPU seconds instead of wall seconds
    prepare: Side = lambda: None
    before: Side = lambda: None  # before each timed run of either side, untimed
    finish: Side = lambda: None
    note: str = ""


@dataclass
class Trial:
    """A row that is one long experiment and no pair: it returns whether its target was met, and its figures."""

    name: str
    target: str
    run: Callable[[Callable[[str], None]], tuple[bool, dict[str, Any]]]
    note: str = ""


@dataclass
class Sample:
    wall: float
    cpu: float


@dataclass
class Tried:
    name: str
    verdict: str
    target: str
    figures: dict[str, Any]
    note: str = ""


@dataclass
class Row:
    name: str
    verdict: str
    target: str
    median: float
    low: float
    high: float
    ours_wall: float
    ours_cpu: float
    raw_wall: float | None
    raw_cpu: float | None
    pairs: int
    raw_command: str
    note: str = ""


def cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(side: Side) -> Sample:
    cpu, wall = cpu_seconds(), time.perf_counter()
    side()
    return Sample(time.perf_counter() - wall, cpu_seconds() - cpu)


def interval(values: list[float], *, rounds: int = 4000, seed: int = 7) -> tuple[float, float]:
    """Bootstrap 95 % interval of the median."""
    chance = random.Random(seed)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(rounds))
    return medians[int(rounds * 0.025)], medians[int(rounds * 0.975)]


def measure(case: Case, say: Callable[[str], None]) -> Row:
    case.prepare()
    ours: list[Sample] = []
    raw: list[Sample] = []
    try:
        for number in range(case.pairs):
            first_ours = number % 2 == 0
            for ours_turn in (first_ours, not first_ours):
                if not ours_turn and case.raw is None:
                    continue
                case.before()
                if ours_turn:
                    ours.append(timed(case.ours))
                elif case.raw is not None:
                    raw.append(timed(case.raw))
            say(f"  {case.name}: {number + 1}/{case.pairs}")
    finally:
        case.finish()
    mine = [s.cpu if case.cpu else s.wall for s in ours]
    other = [s.cpu if case.cpu else s.wall for s in raw]
    values = {
        "ratio": lambda: [a / b for a, b in zip(mine, other, strict=True)],
        "rate": lambda: [b / a for a, b in zip(mine, other, strict=True)],
        "extra": lambda: [a - b for a, b in zip(mine, other, strict=True)],
        "alone": lambda: mine,
    }[case.kind]()
    low, high = interval(values)
    return Row(
        name=case.name,
        verdict=judge(case, low, high),
        target=describe(case),
        median=statistics.median(values),
        low=low,
        high=high,
        ours_wall=statistics.median(s.wall for s in ours),
        ours_cpu=statistics.median(s.cpu for s in ours),
        raw_wall=statistics.median(s.wall for s in raw) if raw else None,
        raw_cpu=statistics.median(s.cpu for s in raw) if raw else None,
        pairs=case.pairs,
        raw_command=case.raw_command,
        note=case.note,
    )


def attempt(trial: Trial, say: Callable[[str], None]) -> Tried:
    met, figures = trial.run(say)
    return Tried(trial.name, "ok" if met else "over target", trial.target, figures, trial.note)


def judge(case: Case, low: float, high: float) -> str:
    if case.kind == "rate":
        return "ok" if low >= case.target else "over target" if high < case.target else "inconclusive"
    return "ok" if high <= case.target else "over target" if low > case.target else "inconclusive"


def describe(case: Case) -> str:
    unit = "CPU s" if case.cpu else "s"
    return {
        "ratio": f"≤ {case.target:g} × raw",
        "rate": f"≥ {case.target:g} × raw's rate",
        "extra": f"≤ {case.target:g} {unit} above",
        "alone": f"≤ {case.target:g} {unit}",
    }[case.kind]


def machine() -> dict[str, Any]:
    """What a reader needs to compare with their own."""
    info = Path("/proc/cpuinfo")
    model = (
        next(
            (
                line.split(":", 1)[1].strip()
                for line in info.read_text().splitlines()
                if line.startswith("model name")
            ),
            "",
        )
        if info.exists()
        else platform.processor()
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "processor": model,
        "memory_gib": round(memory / 1024**3, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def as_json(row: Row | Tried) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items()}
