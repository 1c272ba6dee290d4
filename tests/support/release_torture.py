"""Releases that are killed: how one is killed, and what must be true right afterwards and after the next run."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest import mock

from cortex_ops import pipeline
from cortex_ops.kernel.clock import parse_iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.release.history import History
from cortex_ops.release.machine import Releaser
from tests.support.beside import beside
from tests.support.tiny import Tiny
from tests.support.victim import Kill, Victim

NOTHING = "nothing was begun"

# What the console says when a run comes there.
BOUNDARIES = {
    "the build begins": "· building",
    "secrets are delivered": "· delivering secrets",
    "stores and proxy come up": "· stores and proxy",
    "the candidate starts": "· starting release",
    "the candidate is ready": "✓ starting release",
    "the tests run": "· integration tests",
    "the tests have passed": "✓ integration tests",
    "the traffic is switched": "· switching the traffic",
    "the switch is done": "✓ switching the traffic",
}

# From here on the verdict is recorded: a run that is told to end may end as either release.
DECIDED = {"the tests have passed", "the traffic is switched", "the switch is done"}


def start(tiny: Tiny) -> Victim:
    """The main job as CI types it."""
    process = subprocess.Popen(
        tiny.job_argv("release"),
        cwd=tiny.root,
        env=tiny.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return Victim(process)


def duration(tiny: Tiny) -> float:
    """Seconds that an undisturbed run takes, so that moments can be drawn from it."""
    tiny.answer(secrets.token_hex(4))
    began = time.monotonic()
    with start(tiny) as victim:
        assert victim.end(300) == 0, victim.lines
    return time.monotonic() - began


@dataclass
class Aftermath:
    """What was found. `run_ids` are the killed run's, as far as it got to having one."""

    state: str = ""
    settled: float | None = None
    run_ids: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Scene:
    """A live tiny system, before one of its releases is killed."""

    def __init__(self, tiny: Tiny, new: str) -> None:
        self.tiny, self.old, self.new = tiny, tiny.get(), new
        self.history: History = tiny.wire().history("local")
        self.sequences = self.history.sequences()
        self.standing = tiny.standing()
        self._runs = self._logged()
        tiny.answer(new)

    def _logged(self) -> set[str]:
        return {path.stem for path in (self.tiny.root / ".cortex" / "logs").glob("*.log")}

    def right_after(self, victim: Victim, *, told: bool) -> Aftermath:
        """One of the two serves. A run that was `told` to end has settled itself and left nothing."""
        found = Aftermath(run_ids=sorted(self._logged() - self._runs))
        serves = self.tiny.get()
        if serves not in (self.old, self.new):
            found.problems.append(f"{serves!r} answers, which is neither the old nor the new release")
        begun = [self.history.record(seq) for seq in self.history.sequences() if seq not in self.sequences]
        outcome = begun[-1].outcome if begun else None
        if not begun:
            found.state = NOTHING
        elif outcome is None:
            found.state = f"unfinished, the {'new' if serves == self.new else 'old'} release serves"
        else:
            found.state = outcome.state.replace("_", " ")
            promoted = outcome.state == "promoted"
            if serves != (self.new if promoted else self.old):
                found.problems.append(f"the history says {found.state}, and {serves!r} answers")
        if told:
            found.problems += [f"r{one.seq} was left unfinished" for one in begun if one.outcome is None]
            found.problems += [f"{name} was left" for name in self.tiny.helpers(found.run_ids)]
            found.problems += victim.orphans(found.run_ids)
        return found

    def next_run(self, victim: Victim, found: Aftermath) -> None:
        """The next run settles it, goes live by itself, and nothing of the killed one is left."""
        try:
            w = self.tiny.prepared()
            began = w.clock.now()
            step = self.tiny.deploy(w)
        except OpsError as error:
            found.problems.append(f"the next run failed: {error.message}")
            return
        if not step.ok:
            found.problems.append(f"the next run failed: {step.message}")
        for seq in self.history.sequences():
            record = self.history.record(seq)
            if record.outcome is None:
                found.problems.append(f"r{seq} is unfinished after the next run")
            elif record.outcome.settled_by == w.run_id:
                found.settled = (parse_iso(record.outcome.finished_at) - began).total_seconds()
        if (serves := self.tiny.get()) != self.new:
            found.problems.append(f"{serves!r} answers after the next run, which released {self.new!r}")
        found.problems += victim.orphans(found.run_ids)
        found.problems += [f"{name} was not reaped" for name in self.tiny.helpers(found.run_ids)]
        live = self.history.live()
        serves = f"r{live.outcome.serves}" if live is not None and live.outcome is not None else "nothing"
        found.problems += self.tiny.strays(serves, self.standing)


@contextlib.contextmanager
def asking(tiny: Tiny, allowed: set[str]) -> Iterator[list[str]]:
    """Ask from outside all the while, without retries; what failed or answered wrongly is in the list."""
    problems: list[str] = []

    def ask() -> bool:
        try:
            answer = tiny.get(timeout=15)
        except OSError as error:
            problems.append(f"a request failed: {error}")
        else:
            if answer not in allowed:
                problems.append(f"a request was answered {answer[:80]!r}")
        return bool(problems)

    with beside(ask, 0.05):
        yield problems


def killed_when(tiny: Tiny, boundary: str) -> list[str]:
    """The problems that are found when a release is killed there."""
    scene = Scene(tiny, f"sigkill {boundary}")
    with start(tiny) as victim:
        assert victim.wait_for(BOUNDARIES[boundary]), victim.lines
        victim.strike(signal.SIGKILL)
        victim.end()
    found = scene.right_after(victim, told=False)
    scene.next_run(victim, found)
    return found.problems


def told_to_end_when(tiny: Tiny, boundary: str) -> list[str]:
    """The problems that are found when a release is told to end there."""
    scene = Scene(tiny, f"sigterm {boundary}")
    with start(tiny) as victim:
        assert victim.wait_for(BOUNDARIES[boundary]), victim.lines
        victim.strike(signal.SIGTERM)
        code = victim.end()
    found = scene.right_after(victim, told=True)
    # After its last step a run may be over before the signal reaches it; then it has done all it was for.
    over = boundary in ("the traffic is switched", "the switch is done") and found.state == "promoted"
    if code == 0 and not over:
        found.problems.append(f"it ended with 0, {found.state}")
    if boundary not in DECIDED and (serves := tiny.get()) != scene.old:
        found.problems.append(f"{serves!r} answers: a run that is told to end undoes what it began")
    scene.next_run(victim, found)
    return found.problems


def kill_once(tiny: Tiny, number: int, after: float, *, asked: bool = True) -> Kill:
    """Kill a release after so many seconds, look around, let the next run settle it, look again. With `asked`, no
    request may fail meanwhile."""
    scene = Scene(tiny, secrets.token_hex(4))
    ask: contextlib.AbstractContextManager[list[str]] = contextlib.nullcontext([])
    if asked:
        ask = asking(tiny, {scene.old, scene.new})
    with ask as failed, start(tiny) as victim:
        hit = victim.live_for(after)
        where = victim.where()
        if hit:
            victim.strike(number)
        struck = time.monotonic()
        victim.end()
        took = time.monotonic() - struck
        found = scene.right_after(victim, told=number == signal.SIGTERM)
        if hit:
            scene.next_run(victim, found)
    if any("Traceback" in line for line in victim.lines):
        found.problems.append("a traceback reached the console")
    if hit and number == signal.SIGTERM and found.state != NOTHING:
        found.settled = took
    state = found.state if hit else "ended before it was hit"
    name = signal.Signals(number).name
    return Kill(name, round(after, 3), where, state, found.settled, (*found.problems, *failed), hit)


def control(tiny: Tiny) -> list[str]:
    """The problems that are found when a defect is planted: the next run settles nothing."""
    scene = Scene(tiny, secrets.token_hex(4))
    with start(tiny) as victim:
        assert victim.wait_for("· integration tests"), victim.lines
        victim.strike(signal.SIGKILL)
        victim.end()
    found = scene.right_after(victim, told=False)
    with mock.patch.object(Releaser, "settle", return_value=[]):
        scene.next_run(victim, found)
    pipeline.settle(tiny.wire(), "local")
    return found.problems
