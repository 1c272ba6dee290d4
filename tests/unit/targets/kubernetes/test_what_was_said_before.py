"""A verdict that a controller gave before we applied anything is not about what we applied."""

from __future__ import annotations

from typing import Any

from cortex_ops.targets.kubernetes.kinds import kind_of
from cortex_ops.targets.kubernetes.pods import Budget
from cortex_ops.targets.kubernetes.rollout import without

LATE = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "lastUpdateTime": "2026-01-01T00:00:00Z",
    "message": 'ReplicaSet "api-broken" has timed out progressing.',
}


def deployment(*conditions: dict[str, Any]) -> dict[str, Any]:
    """Its controller has seen the change, and the earlier ReplicaSet's pod is not there yet."""
    status = {"observedGeneration": 4, "replicas": 1, "conditions": list(conditions)}
    metadata = {"name": "api", "namespace": "x", "generation": 4}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {}, "status": status}


def failed(live: dict[str, Any]) -> str:
    return kind_of(live).failed(live, [], Budget())


def test_going_back_after_a_rollout_that_was_too_late_is_not_itself_too_late() -> None:
    assert "made no progress" in failed(deployment(LATE))
    assert failed(without(deployment(LATE), LATE)) == ""


def test_one_that_is_late_anew_is_late() -> None:
    anew = {**LATE, "lastUpdateTime": "2026-01-01T00:01:00Z", "message": 'ReplicaSet "api-next" has timed out.'}
    assert "made no progress" in failed(without(deployment(anew), LATE))


def test_where_nothing_was_said_nothing_is_taken_away() -> None:
    live = deployment(LATE)
    assert without(live, {}) == live
