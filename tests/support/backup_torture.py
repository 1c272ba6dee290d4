"""Backups that are killed at random moments: how one is killed, and what must be true afterwards.

`python -m tests.support.backup_torture --count 60 --seed 1` is the long run; tests do three of each signal.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from cortex_ops.backup import run_backup
from cortex_ops.backup.catalog import list_sets
from cortex_ops.backup.keys import load_trusted
from cortex_ops.backup.manifest import read_manifest
from cortex_ops.backup.streams import verify_part
from cortex_ops.kernel.process import leftovers
from cortex_ops.store.local import PARTIAL
from tests.support.engine import ROOT
from tests.support.postgres import Place, sample_postgres

# About 25 MB of text that hardly compresses: a dump of some seconds when it is read slowly, half of one otherwise.
BULK = """
CREATE TABLE bulk AS SELECT g AS id,
 (SELECT string_agg(md5(g::text || n), '') FROM generate_series(1, 25) n) AS v FROM generate_series(1, 30000) g;
"""


@dataclass(frozen=True)
class Outcome:
    """One killed run. `after` is the moment in seconds, `published` whether its set was already there."""

    signal: str
    after: float
    code: int
    published: bool
    problems: tuple[str, ...]


@contextlib.contextmanager
def bulky_postgres(folder: Path) -> Iterator[Place]:
    with sample_postgres(folder, sql=BULK) as place:
        yield place


def start(place: Place, folder: Path, run_id: str, task: str = "backup") -> subprocess.Popen[str]:
    """A backup in a process of its own, past its imports."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.support.backup_run", task, str(folder), place.stack.name, run_id],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n", child.stderr.read() if child.stderr else ""
    return child


def duration(place: Place, folder: Path) -> float:
    """How long an undisturbed run takes, so that moments can be drawn uniformly from it."""
    began = time.monotonic()
    child = start(place, folder, secrets.token_hex(16))
    began = time.monotonic()
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    return time.monotonic() - began


def kill_once(place: Place, folder: Path, number: int, after: float) -> Outcome:
    """Start a backup, kill it after so many seconds, look around, then let the next run clean up and look again."""
    run_id = secrets.token_hex(16)
    child = start(place, folder, run_id)
    time.sleep(after)
    child.send_signal(number)
    _, errors = child.communicate(timeout=60)
    problems: list[str] = []
    ctx = place.context()
    trusted = load_trusted(ctx.settings)
    mine = [one for one in list_sets(ctx.store, "local", trusted) if run_id[:12] in one.set_id]
    published = any(one.status == "complete" for one in mine)
    problems += [f"set {one.set_id} is suspect: {one.problem}" for one in mine if one.status == "suspect"]
    if "Traceback" in errors:
        problems.append(f"a traceback reached the console: {errors[-400:]}")
    if number == signal.SIGTERM and child.returncode != 0:
        problems += [f"{name} outlived a run that was told to end" for name in place.helpers()]
        problems += [f"set {one.set_id} was left unfinished" for one in mine if one.status == "unfinished"]
        problems += [f"{path} was left" for path in _partial(ctx.settings.store)]
    result = run_backup(ctx)
    problems += [f"container {name} was not reaped" for name in place.helpers()]
    problems += [f"{path} was not reaped" for path in _partial(ctx.settings.store)]
    problems += [f"process {pid} of the killed run still lives" for pid in _outliving(run_id)]
    for one in list_sets(ctx.store, "local", trusted):
        if one.status not in ("complete", "proven"):
            problems.append(f"set {one.set_id} is {one.status}")
            continue
        manifest, _ = read_manifest(ctx.store, "local", one.set_id, trusted)
        if one.set_id == result.set_id or one in mine:
            for part in manifest.sources[0].parts:
                verify_part(ctx.store, part)
    name = signal.Signals(number).name
    return Outcome(name, round(after, 3), child.returncode, published, tuple(problems))


def _partial(store: str) -> list[Path]:
    folder = Path(store) / PARTIAL
    return list(folder.iterdir()) if folder.is_dir() else []


def _outliving(run_id: str, seconds: float = 5.0) -> list[int]:
    until = time.monotonic() + seconds
    while (found := leftovers(run_id)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def torture(place: Place, folder: Path, *, count: int, seed: int) -> list[Outcome]:
    """`count` runs with each signal, at moments drawn uniformly from the length of a whole run."""
    chance = random.Random(seed)
    whole = duration(place, folder)
    outcomes = []
    for number in [signal.SIGTERM, signal.SIGKILL] * count:
        outcomes.append(kill_once(place, folder, number, chance.uniform(0, whole)))
        print(outcomes[-1], file=sys.stderr, flush=True)
    return outcomes


def control(place: Place, folder: Path) -> Outcome:
    """The control run: with a planted defect (nothing is reaped) a killed run must show problems.

    Some moments are harmless (before anything began, after all was published), so a few are tried.
    """
    whole = duration(place, folder)
    with mock.patch("cortex_ops.backup.pipeline.reap", return_value=[]):
        for share in (0.6, 0.45, 0.75, 0.35, 0.55):
            outcome = kill_once(place, folder, signal.SIGKILL, whole * share)
            if outcome.problems:
                break
    run_backup(place.context())  # reaps for real
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    args = parser.parse_args()
    print(f"seed {args.seed}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder, bulky_postgres(Path(folder)) as place:
        outcomes = torture(place, Path(folder), count=args.count, seed=args.seed)
        planted = control(place, Path(folder))
    bad = [outcome for outcome in outcomes if outcome.problems]
    figures = {
        "seed": args.seed,
        "runs": len(outcomes),
        "published before the signal": sum(outcome.published for outcome in outcomes),
        "control run caught": bool(planted.problems),
        "problems": [f"{one.signal} after {one.after} s: {'; '.join(one.problems)}" for one in bad],
    }
    print(json.dumps(figures, indent=1))
    return 1 if bad or not planted.problems else 0


if __name__ == "__main__":
    sys.exit(main())
