"""A run that is killed while it releases to a cluster leaves the old or the new release, and needs no hand."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

import pytest

from tests.support.cluster import ClusterTiny, cluster_project
from tests.support.release_torture import BOUNDARIES, control, duration, kill_once, killed_when, told_to_end_when
from tests.support.victim import torture


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("killed"), address) as project:
        assert project.release().ok
        yield project


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_killed_when(tiny: ClusterTiny, boundary: str) -> None:
    assert killed_when(tiny, boundary) == []


# Everywhere on an engine, by the same code (tests/faults); here where a cluster is another thing.
TOLD = ("secrets are delivered", "the candidate starts", "the tests run", "the traffic is switched")


@pytest.mark.parametrize("boundary", TOLD)
def test_told_to_end_when(tiny: ClusterTiny, boundary: str) -> None:
    assert told_to_end_when(tiny, boundary) == []


def test_killed_and_told_to_end_at_a_random_moment_each(tiny: ClusterTiny) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    kills = torture(2, seed, duration(tiny), functools.partial(kill_once, tiny, asked=False), print)
    assert [problem for kill in kills for problem in kill.problems] == []


def test_a_planted_defect_is_caught_by_the_same_assertions(tiny: ClusterTiny) -> None:
    assert any("is unfinished after the next run" in problem for problem in control(tiny))
