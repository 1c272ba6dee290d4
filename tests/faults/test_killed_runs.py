"""A run that is killed leaves the old or the new release serving, and the next run needs no hand."""

from __future__ import annotations

import functools
import random
import signal
from collections.abc import Iterator

import pytest

from tests.support.release_torture import Scene, control, duration, kill_once, start
from tests.support.tiny import Tiny, tiny_project
from tests.support.victim import torture

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


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny_project(tmp_path_factory.mktemp("faults")) as project:
        assert project.release().ok
        yield project


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_when(tiny: Tiny, boundary: str) -> None:
    scene = Scene(tiny, f"sigkill {boundary}")
    with start(tiny) as victim:
        assert victim.wait_for(BOUNDARIES[boundary]), victim.lines
        victim.strike(signal.SIGKILL)
        victim.end()
    found = scene.right_after(victim, told=False)
    scene.next_run(victim, found)
    assert found.problems == []


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_told_to_end_when(tiny: Tiny, boundary: str) -> None:
    scene = Scene(tiny, f"sigterm {boundary}")
    with start(tiny) as victim:
        assert victim.wait_for(BOUNDARIES[boundary]), victim.lines
        victim.strike(signal.SIGTERM)
        code = victim.end()
    found = scene.right_after(victim, told=True)
    # After its last step a run may be over before the signal reaches it; then it has done all it was for.
    assert code != 0 or (boundary == "the switch is done" and found.state == "promoted")
    if boundary not in DECIDED:
        assert tiny.get() == scene.old, "a run that is told to end undoes what it began"
    scene.next_run(victim, found)
    assert found.problems == []


def test_killed_and_told_to_end_at_three_random_moments_each(tiny: Tiny) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    kills = torture(6, seed, duration(tiny), functools.partial(kill_once, tiny), print)
    assert [problem for kill in kills for problem in kill.problems] == []


def test_a_planted_defect_is_caught_by_the_same_assertions(tiny: Tiny) -> None:
    assert any("is unfinished after the next run" in problem for problem in control(tiny))
