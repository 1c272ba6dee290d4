"""What others have set is taken over also while the object changes, which every step of a rollout makes it do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cortex_ops.adapters.cluster import MANAGER, ClusterError
from cortex_ops.kernel.clock import ManualClock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.targets.kubernetes.rollout import TRIES, Rollout
from tests.support.cluster_pods import Document

RENDERED: Document = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "api", "namespace": "shop"},
    "spec": {"replicas": 1},
}
EDIT = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}}


class Cluster:
    """One object, which is another one than was read for so many changes; what is asked of it is kept."""

    def __init__(self, document: Document, changes: int = 0, status: int = 422) -> None:
        self.live = copy.deepcopy(document)
        self.live["metadata"] |= {"resourceVersion": "1", "managedFields": [copy.deepcopy(EDIT)]}
        self.live["spec"]["minReadySeconds"] = 9
        self.changes, self.status, self.asked = changes, status, []

    def path_of(self, document: Document) -> str:
        return str(document["kind"])

    def get(self, path: str) -> Document | None:
        self.asked.append("get")
        return copy.deepcopy(self.live)

    def patch(self, document: Document, operations: list[Document], *, repeat: bool) -> Document:
        version, entries = operations
        if self.changes:
            self.changes -= 1
            self.live["metadata"]["resourceVersion"] += "1"
        if version["value"] != self.live["metadata"]["resourceVersion"]:
            raise ClusterError("the test failed", status=self.status, causes=[])
        self.asked.append("patch")
        self.live["metadata"]["managedFields"] = entries["value"]
        return self.live

    def apply(self, document: Document, **_: Any) -> Document:
        self.asked.append("apply")
        return copy.deepcopy(self.live)

    def managers(self) -> list[str]:
        return [one["manager"] for one in self.live["metadata"]["managedFields"]]


def rollout(cluster: Cluster, force: bool = True) -> Rollout:
    return Rollout(cluster, "shop", "", ManualClock(), 60, 3, force)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [409, 422])
@pytest.mark.parametrize("changes", [0, 1, TRIES - 1])
def test_what_changed_since_it_was_read_is_read_again(changes: int, status: int) -> None:
    cluster = Cluster(RENDERED, changes, status)
    rollout(cluster).apply(RENDERED)
    assert cluster.managers() == [MANAGER]
    assert cluster.asked == [*["get"] * (changes + 1), "patch", "apply"], "what rolls is changed by one apply"


def test_what_never_stands_still_fails_and_says_what_could_not_be_taken_over() -> None:
    cluster = Cluster(RENDERED, TRIES)
    said = "^Deployment api: spec.minReadySeconds, set by kubectl-edit, cannot be taken over: the test failed"
    with pytest.raises(OpsError, match=said):
        rollout(cluster).apply(RENDERED)
    assert "apply" not in cluster.asked


def test_another_refusal_is_said_as_it_is() -> None:
    with pytest.raises(ClusterError, match="the test failed"):
        rollout(Cluster(RENDERED, 1, status=403)).apply(RENDERED)


def test_what_is_ours_is_only_applied() -> None:
    cluster = Cluster(RENDERED)
    rollout(cluster).apply(RENDERED)
    rollout(cluster).apply(RENDERED)
    assert cluster.asked[3:] == ["get", "apply"]


def test_what_may_not_be_taken_over_is_left() -> None:
    cluster = Cluster(RENDERED)
    rollout(cluster, force=False).apply(RENDERED)
    assert cluster.asked == ["get", "apply"] and cluster.managers() == ["kubectl-edit"]
