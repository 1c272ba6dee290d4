"""A run that is killed leaves the old or the new release serving, and the next run needs no hand."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from cortex_ops.kernel.process import leftovers
from tests.support.engine import docker
from tests.support.tiny import Tiny, tiny_project

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


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny_project(tmp_path_factory.mktemp("faults")) as project:
        assert project.release().ok
        yield project


class Victim:
    """A release job in a process of its own, whose console is read as it comes."""

    def __init__(self, tiny: Tiny) -> None:
        self.process = subprocess.Popen(
            tiny.job_argv("release"),
            cwd=tiny.root,
            env=tiny.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []

    def wait_for(self, start: str) -> bool:
        """Read up to a line that starts so; false when the run ended without one."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if line.startswith(start):
                return True
        return False

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> int:
        assert self.process.stderr is not None
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        return self.process.wait(90)


def check_aftermath(tiny: Tiny, old: str, new: str, *, settled: bool) -> None:
    """Right after the kill one of the two serves; the next run settles and goes live by itself."""
    assert tiny.get() in (old, new)
    history = tiny.wire().history("local")
    killed = history.records(1)[0].intent.run_id
    if settled:
        assert history.unfinished() == []
    step = tiny.release()
    assert step.ok, step.message
    assert tiny.get() == new
    assert history.unfinished() == []
    assert leftovers(killed) == [], "no process of the killed run is left"
    assert docker("ps", "-aq", "--filter", f"label=org.cortex-ops.run={killed}") == ""
    assert [n for n in tiny.containers() if "lease" in n] == []
    serving = {name.split("-r")[1].split("-")[0] for name in tiny.containers(role="service")}
    assert len(serving) <= 2, "the live release and at most the one before it"


def current(tiny: Tiny) -> str:
    return tiny.get()


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_when(tiny: Tiny, boundary: str) -> None:
    old, new = current(tiny), f"sigkill {boundary}"
    tiny.answer(new)
    victim = Victim(tiny)
    assert victim.wait_for(BOUNDARIES[boundary]), victim.lines
    victim.signal(signal.SIGKILL)
    victim.end()
    check_aftermath(tiny, old, new, settled=False)


@pytest.mark.parametrize("boundary", ["the build begins", "the candidate starts", "the tests run"])
def test_told_to_end_when(tiny: Tiny, boundary: str) -> None:
    old, new = current(tiny), f"sigterm {boundary}"
    tiny.answer(new)
    victim = Victim(tiny)
    assert victim.wait_for(BOUNDARIES[boundary]), victim.lines
    victim.signal(signal.SIGTERM)
    assert victim.end() != 0
    assert tiny.get() == old, "a run that is told to end undoes what it began"
    check_aftermath(tiny, old, new, settled=True)


def test_killed_at_three_random_moments(tiny: Tiny) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(3):
        old, new = current(tiny), f"random {seed} {number}"
        tiny.answer(new)
        victim = Victim(tiny)
        threading.Thread(target=victim.wait_for, args=("never",), daemon=True).start()
        time.sleep(chance.uniform(0.5, 16))
        if victim.process.poll() is None:
            victim.signal(signal.SIGKILL)
        victim.process.wait(30)
        check_aftermath(tiny, old, new, settled=False)
