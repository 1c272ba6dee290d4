"""A run in a process of its own that is killed, and what is told of it afterwards."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cortex_ops.kernel.process import leftovers
from tests.support.processes import Family, family, outliving


@dataclass(frozen=True)
class Kill:
    """One killed run. `after` is the moment in seconds, `where` the step it was in, `state` what was found right
    afterwards, `settled` how many seconds it took until nothing of it was left to do, where there was something.
    Not `hit`: the run had ended by then."""

    signal: str
    after: float
    where: str
    state: str
    settled: float | None
    problems: tuple[str, ...]
    hit: bool = True

    def line(self) -> str:
        took = f", settled in {self.settled:.1f} s" if self.settled is not None else ""
        sign = "✗" if self.problems else "✓"
        return f"{sign} {self.signal} after {self.after:5.2f} s, {self.where}: {self.state}{took}"


class Victim:
    """Reads the console of a run as it comes, and kills the run. It does not outlive the block that it is used in."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.family: Family = {}
        self._news = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip())
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def wait_for(self, start: str, seconds: float = 120) -> bool:
        """Wait for a line that starts so; false when the run ended without one."""
        seen = False

        def over() -> bool:
            nonlocal seen
            seen = any(line.startswith(start) for line in self.lines)
            return seen or self._over

        with self._news:
            assert self._news.wait_for(over, seconds), f"no line {start!r} within {seconds:g} s: {self.lines}"
        return seen

    def live_for(self, seconds: float) -> bool:
        """Let it run for so long; false when it ended before."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def where(self) -> str:
        """The step that the console named last."""
        with self._news:
            steps = [line for line in self.lines if line[:1] in "·✓✗" and line.strip()]
        if not steps:
            return "starting up"
        return ("in " if steps[-1][0] == "·" else "after ") + steps[-1][1:].strip()

    def strike(self, number: int) -> None:
        """Send the signal, having noted whom the run started."""
        self.family = family(self.process.pid)
        os.kill(self.process.pid, number)

    def end(self, seconds: float = 90) -> int:
        """The exit code, once the run is gone and its console was read."""
        code = self.process.wait(seconds)
        self._reader.join(5)  # a program that outlives the run may hold the console open
        return code

    def orphans(self, run_ids: list[str], seconds: float = 5.0) -> list[str]:
        """What the run started and still lives: below it when it was struck, or carrying its tag."""
        left = outliving(self.family, seconds)
        until = time.monotonic() + seconds
        while (tagged := [pid for run in run_ids for pid in leftovers(run)]) and time.monotonic() < until:
            time.sleep(0.1)
        return [f"process {one} outlived its run" for one in [*left, *map(str, tagged)]]


def torture(
    count: int, seed: int, whole: float, kill_once: Callable[[int, float], Kill], say: Callable[[str], None]
) -> list[Kill]:
    """`count` kills at moments drawn uniformly from the length of a `whole` run, in seconds.

    Runs differ in length: one that ended before its moment is no kill, and another is drawn, three times as many
    at most. Signals alternate, so that both are met whatever the seed.
    """
    chance = random.Random(seed)
    kills: list[Kill] = []
    hits = 0
    while hits < count and len(kills) < 3 * count:
        kill = kill_once((signal.SIGKILL, signal.SIGTERM)[hits % 2], chance.uniform(0, whole))
        kills.append(kill)
        hits += kill.hit
        say(f"{hits:>3}/{count} {kill.line()}")
        for problem in kill.problems:
            say(f"        {problem}")
    return kills
