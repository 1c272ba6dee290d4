"""A run that is killed leaves the old or the new release serving, and the next run needs no hand."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

import pytest

from tests.support.release_torture import BOUNDARIES, control, duration, kill_once, killed_when, told_to_end_when
from tests.support.tiny import Tiny, tiny_project
from tests.support.victim import torture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny_project(tmp_path_factory.mktemp("faults")) as project:
        assert project.release().ok
        yield project


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_when(tiny: Tiny, boundary: str) -> None:
    assert killed_when(tiny, boundary) == []


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_told_to_end_when(tiny: Tiny, boundary: str) -> None:
    assert told_to_end_when(tiny, boundary) == []


def test_killed_and_told_to_end_at_three_random_moments_each(tiny: Tiny) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    kills = torture(6, seed, duration(tiny), functools.partial(kill_once, tiny), print)
    assert [problem for kill in kills for problem in kill.problems] == []


def test_a_planted_defect_is_caught_by_the_same_assertions(tiny: Tiny) -> None:
    assert any("is unfinished after the next run" in problem for problem in control(tiny))
