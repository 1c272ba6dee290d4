"""Whose clock counts: a controller's is not set back when an earlier ReplicaSet returns."""

from __future__ import annotations

from typing import Any

from cortex_ops.targets.kubernetes.kinds import kind_of
from cortex_ops.targets.kubernetes.pods import Budget
from cortex_ops.targets.kubernetes.rollout import by_our_deadline

LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
REFUSED = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}


def deployment(**status: Any) -> dict[str, Any]:
    metadata = {"name": "api", "namespace": "x", "generation": 4}
    spec = {"replicas": 1}
    status = {"observedGeneration": 4, **status}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status}


def failed(live: dict[str, Any]) -> str:
    return kind_of(live).failed(live, [], Budget())


def test_going_back_from_a_release_that_was_too_late_is_not_too_late() -> None:
    live = deployment(conditions=[LATE])
    assert "made no progress" in failed(live)
    assert failed(by_our_deadline(live)) == ""


def test_what_is_as_it_should_be_is_done_whatever_was_said_of_time() -> None:
    live = deployment(replicas=1, updatedReplicas=1, availableReplicas=1, conditions=[LATE])
    assert kind_of(live).done(by_our_deadline(live), [])


def test_every_other_verdict_stands() -> None:
    assert "exceeded quota" in failed(by_our_deadline(deployment(conditions=[LATE, REFUSED])))
    live = deployment(conditions=[REFUSED])
    assert by_our_deadline(live) is live
