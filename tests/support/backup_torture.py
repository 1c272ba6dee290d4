"""Backups that are killed: how one is killed, and what must be true right afterwards and after the next run."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from cortex_ops.backup import run_backup
from cortex_ops.backup.catalog import list_sets, remove_set
from cortex_ops.backup.keys import load_trusted
from cortex_ops.backup.manifest import read_manifest
from cortex_ops.backup.streams import verify_part
from cortex_ops.kernel.clock import parse_iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.store.local import PARTIAL
from tests.support.engine import ROOT
from tests.support.postgres import Place, sample_postgres
from tests.support.victim import Kill, Victim

# About 25 MB of text that hardly compresses: a dump of some seconds when it is read slowly, half of one otherwise.
BULK = """
CREATE TABLE bulk AS SELECT g AS id,
 (SELECT string_agg(md5(g::text || n), '') FROM generate_series(1, 25) n) AS v FROM generate_series(1, 30000) g;
"""


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
    """Seconds that an undisturbed run takes, so that moments can be drawn from it."""
    child = start(place, folder, secrets.token_hex(16))
    began = time.monotonic()
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors
    return time.monotonic() - began


@dataclass
class Aftermath:
    """What was found."""

    state: str = ""
    settled: float | None = None
    problems: list[str] = field(default_factory=list)


class Scene:
    """A database of which one backup is killed."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place, self.folder, self.run_id = place, folder, secrets.token_hex(16)
        self.ctx = place.context()

    def start(self) -> Victim:
        return Victim(start(self.place, self.folder, self.run_id))

    def right_after(self, victim: Victim, *, told: bool) -> Aftermath:
        """A set is whole or does not count. A run that was `told` to end has removed what it began."""
        found = Aftermath(state="no set")
        for one in list_sets(self.ctx.store, "local", load_trusted(self.ctx.settings)):
            if self.run_id[:12] in one.set_id:
                found.state = {"complete": "published", "unfinished": "unfinished set"}.get(one.status, one.status)
                if one.status == "suspect":
                    found.problems.append(f"set {one.set_id} is suspect: {one.problem}")
        if told:
            found.problems += ["a set was left unfinished"] if found.state == "unfinished set" else []
            found.problems += [f"{name} outlived a run that was told to end" for name in self.place.helpers()]
            found.problems += [f"{path} was left" for path in self._partial()]
            found.problems += victim.orphans([self.run_id])
        return found

    def next_run(self, victim: Victim, found: Aftermath) -> None:
        """The next run clears up and publishes its own; every set that there is can be trusted."""
        began = self.ctx.clock.now()
        try:
            result = run_backup(self.ctx)
        except OpsError as error:
            found.problems.append(f"the next run failed: {error.message}")
            return
        found.problems += [f"container {name} was not reaped" for name in self.place.helpers()]
        found.problems += [f"{path} was not reaped" for path in self._partial()]
        found.problems += victim.orphans([self.run_id])
        trusted, store = load_trusted(self.ctx.settings), self.ctx.store
        for one in list_sets(store, "local", trusted):
            if one.status not in ("complete", "proven"):
                found.problems.append(f"set {one.set_id} is {one.status} after the next run")
                continue
            manifest, _ = read_manifest(store, "local", one.set_id, trusted)
            for part in manifest.sources[0].parts:
                verify_part(store, part)
            if one.set_id != result.set_id:
                remove_set(store, "local", one.set_id)  # or sixty of them fill the disk
            elif result.reaped:
                found.settled = (parse_iso(manifest.started_at) - began).total_seconds()

    def _partial(self) -> list[Path]:
        folder = Path(self.ctx.settings.store) / PARTIAL
        return list(folder.iterdir()) if folder.is_dir() else []


def kill_once(place: Place, folder: Path, number: int, after: float) -> Kill:
    """Kill a backup after so many seconds, look around, let the next run clear up, look again."""
    scene = Scene(place, folder)
    with scene.start() as victim:
        hit = victim.live_for(after)
        where = victim.where()
        if hit:
            victim.strike(number)
        struck = time.monotonic()
        code = victim.end()
        took = time.monotonic() - struck
    told = number == signal.SIGTERM and code != 0
    found = scene.right_after(victim, told=told)
    if hit:
        scene.next_run(victim, found)
    if any("Traceback" in line for line in victim.lines):
        found.problems.append("a traceback reached the console")
    state = found.state if hit else "ended before it was hit"
    settled = took if hit and told else found.settled
    return Kill(signal.Signals(number).name, round(after, 3), where, state, settled, tuple(found.problems), hit)


def control(place: Place, folder: Path) -> list[str]:
    """The problems that are found when a defect is planted: the next run reaps nothing."""
    scene = Scene(place, folder)
    with scene.start() as victim:
        assert victim.wait_for("· postgres: dump"), victim.lines
        victim.strike(signal.SIGKILL)
        victim.end()
    found = scene.right_after(victim, told=False)
    with mock.patch("cortex_ops.backup.pipeline.reap", return_value=[]):
        scene.next_run(victim, found)
    run_backup(place.context())  # reaps for real
    return found.problems
