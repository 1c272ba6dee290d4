"""`python -m bench.torture [--count N] [--seed N] [--only backup|cluster|release]`: runs killed at random moments.

After each kill the old or the new release serves, no backup is half there, and the next run needs no hand. A
control run with a planted defect must be caught by the same assertions, or the result says nothing: exit 1.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.__main__ import RESULTS
from bench.harness import machine
from tests.support import backup_torture, release_torture
from tests.support.cluster import cluster_project, images
from tests.support.run import cluster as cluster_for_a_while
from tests.support.tiny import tiny_project
from tests.support.victim import Kill, torture

Say = Callable[[str], None]
Outcome = tuple[float, list[Kill], list[str]]
"""Seconds of an undisturbed run, the kills, and what the control run showed."""


def releases(folder: Path, count: int, seed: int, say: Say) -> Outcome:
    with tiny_project(folder) as tiny:
        assert tiny.release().ok
        whole = release_torture.duration(tiny)
        kills = torture(count, seed, whole, functools.partial(release_torture.kill_once, tiny), say)
        return whole, kills, release_torture.control(tiny)


def backups(folder: Path, count: int, seed: int, say: Say) -> Outcome:
    with backup_torture.bulky_postgres(folder) as place:
        backup_torture.duration(place, folder)  # the first makes keys
        whole = backup_torture.duration(place, folder)
        kills = torture(count, seed, whole, functools.partial(backup_torture.kill_once, place, folder), say)
        return whole, kills, backup_torture.control(place, folder)


def cluster_releases(folder: Path, count: int, seed: int, say: Say) -> Outcome:
    """Releases to a cluster: the one that is there, else one that is made for this and removed."""
    with (
        cluster_for_a_while(),
        images(folder / "registry") as address,
        cluster_project(folder / "project", address) as tiny,
    ):
        assert tiny.release().ok
        whole = release_torture.duration(tiny)
        kill = functools.partial(release_torture.kill_once, tiny, asked=False)
        return whole, torture(count, seed, whole, kill, say), release_torture.control(tiny)


KINDS = {"release": releases, "backup": backups, "cluster": cluster_releases}
COUNTS = {"cluster": 40}
COUNT = 60


def figures(outcome: Outcome, seconds: float) -> dict[str, Any]:
    """What is kept of a series."""
    whole, drawn, caught = outcome
    kills = [kill for kill in drawn if kill.hit]
    settled = [kill.settled for kill in kills if kill.settled is not None]
    return {
        "kills": len(kills),
        "missed": len(drawn) - len(kills),
        "signals": dict(Counter(kill.signal for kill in kills)),
        "states": dict(Counter(f"{kill.signal}: {kill.state}" for kill in kills).most_common()),
        "where": dict(Counter(step(kill.where) for kill in kills).most_common()),
        "undisturbed_seconds": round(whole, 2),
        "settled": len(settled),
        "longest_settle_seconds": round(max(settled, default=0.0), 2),
        "problems": [f"{kill.line()}: {problem}" for kill in drawn for problem in kill.problems],
        "control_caught": caught,
        "seconds": round(seconds),
    }


def step(where: str) -> str:
    """Without the release's number and how long the step took, so that kills in one step count together."""
    return re.sub(r" \([^()]* s\)$", "", re.sub(r"\br\d+\b", "r…", where))


def good(one: dict[str, Any], count: int) -> bool:
    return one["kills"] == count and not one["problems"] and bool(one["control_caught"])


def summary(name: str, one: dict[str, Any], count: int) -> str:
    states = ", ".join(f"{number} {state}" for state, number in one["states"].items())
    control = f"caught ({one['control_caught'][0]})" if one["control_caught"] else "NOT caught"
    return (
        f"{'✓' if good(one, count) else '✗'} {name}: {one['kills']} of {count} kills, "
        f"{len(one['problems'])} problems; {states}; "
        f"longest settle {one['longest_settle_seconds']} s; planted defect {control}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.torture")
    parser.add_argument("--count", type=int, help="kills of each kind (60; on a cluster 40)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    parser.add_argument("--only", choices=sorted(KINDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    say = functools.partial(print, flush=True)
    say(f"seed {args.seed}")
    args.results.mkdir(parents=True, exist_ok=True)
    verdicts = []
    for name in [args.only] if args.only else KINDS:
        count = args.count or COUNTS.get(name, COUNT)
        say(f"{name}: {count} runs are killed")
        when, began = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            outcome = KINDS[name](Path(folder), count, args.seed, say)
        found = figures(outcome, time.monotonic() - began)
        document = {"when": when, "machine": machine(), "seed": args.seed, **found}
        (args.results / f"torture-{name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        say(summary(name, found, count))
        verdicts.append(good(found, count))
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
