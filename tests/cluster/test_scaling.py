"""A service that an autoscaler scales, under real load: a release leaves the scale to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cortex_ops import pipeline
from tests.support.beside import beside
from tests.support.cluster import ClusterTiny, cluster_project, kubectl, rendered_pod, until

LEAST, MOST = 2, 4
# A busy server takes a fifth of a core, which is many times what it asks for; its memory is about half of that.
RESOURCES = {"requests": {"cpu": "20m", "memory": "96Mi"}, "cpu": "500m", "memory": "128Mi"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("scaling"), address) as project:
        scale = {"min": LEAST, "max": MOST, "cpu": 70, "memory": 80}
        project.stack({"services": {"api": {"scale": scale, "resources": RESOURCES}}})
        project.stack({"environments": {"local": {"start_deadline": 120}}})
        yield project


def replicas(tiny: ClusterTiny) -> int:
    return int(kubectl("-n", tiny.namespace, "get", "deployment", "api", "-o", "jsonpath={.spec.replicas}"))


@contextmanager
def watched(tiny: ClusterTiny) -> Iterator[list[int]]:
    """Every number of replicas that was wished for meanwhile, in order, without repetition."""
    seen = [replicas(tiny)]

    def look() -> None:
        if (now := replicas(tiny)) != seen[-1]:
            seen.append(now)

    with beside(look, 0.2):
        yield seen


def test_under_load_it_scales_in_the_middle_of_a_release_and_later_releases_leave_the_scale(
    tiny: ClusterTiny,
) -> None:
    tiny.answer("idle")
    assert tiny.release().ok
    assert replicas(tiny) == LEAST, "a new one begins with the least"
    tiny.answer("busy", mode="busy")

    def late(pod: dict[str, Any]) -> None:
        pod["containers"][0]["readinessProbe"]["initialDelaySeconds"] = 25

    with rendered_pod(late), watched(tiny) as seen:
        assert tiny.release().ok
        assert seen[0] == LEAST < seen[-1], "it scaled before the release had ended"
        until("more replicas", lambda: replicas(tiny) == MOST)
    assert seen == sorted(seen), "never fewer than before"
    tiny.answer("busy again", mode="busy")
    with watched(tiny) as seen:
        step = tiny.release()
        assert step.ok and tiny.get() == "busy again"
    assert seen == [MOST]
    placed = tiny.wire().history("local").placed(step.record.seq)
    assert placed is not None and tiny.target().drift(placed, step.record.seq) == []
    assert tiny.release().noop
    assert replicas(tiny) == MOST


def test_a_release_that_is_undone_under_load_leaves_the_scale_too(tiny: ClusterTiny) -> None:
    tiny.answer("rejected", mode="busy", expected="something else")
    with watched(tiny) as seen:
        assert not tiny.release().ok
    assert seen == [MOST]


def test_a_number_of_replicas_that_the_stack_says_takes_the_scale_back_from_the_autoscaler(tiny: ClusterTiny) -> None:
    tiny.stack({"services": {"api": {"scale": None, "replicas": 1}}})
    tiny.answer("idle again")
    assert tiny.release().ok
    assert replicas(tiny) == 1 and not tiny.names("horizontalpodautoscalers")
    w = tiny.wire()
    assert pipeline.health(w, "local").healthy
