"""A rollout waits for its Services until they lead to no pod that was there before and is not any more."""

from __future__ import annotations

from typing import Any

import pytest

from cortex_ops.kernel.clock import ManualClock
from cortex_ops.kernel.errors import DeadlineError
from cortex_ops.targets.kubernetes.rollout import Rollout
from tests.support.cluster_pods import Document, workload

LABELS = {"app": "api"}
TEMPLATE = {"metadata": {"labels": LABELS}}
SPEC = {"replicas": 1, "template": TEMPLATE, "selector": {"matchLabels": LABELS}}
DEPLOYMENT = workload("Deployment", SPEC, {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "api", "namespace": "shop", "uid": "uid-service"},
    "spec": {"selector": LABELS},
}


def pod(name: str, **metadata: Any) -> Document:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": LABELS, **metadata}, "status": {}}


class Cluster:
    """A cluster whose slices still hold the old pod for so many looks at them."""

    def __init__(self, old: Document | None, late: int) -> None:
        self.pods, self.late, self.looks = [pod("old")], late, 0
        self.after = [one for one in (old, pod("new")) if one is not None]

    def path_of(self, document: Document) -> str:
        return str(document["kind"])

    def get(self, path: str) -> Document:
        return {"Deployment": DEPLOYMENT, "Service": SERVICE}[path]

    def apply(self, document: Document, **_: Any) -> Document:
        if document["kind"] == "Deployment":
            self.pods = self.after
        return document

    def items(self, path: str, labels: str = "") -> list[Document]:
        if path.endswith("/pods"):
            return self.pods
        if not path.endswith("/endpointslices"):
            return []
        self.looks += 1
        names = ["new", *(["old"] if self.looks <= self.late else [])]
        found = [{"addresses": ["10.0.0.1"], "targetRef": {"name": one, "uid": f"uid-{one}"}} for one in names]
        return [{"metadata": {"labels": {"kubernetes.io/service-name": "api"}}, "endpoints": found}]


@pytest.mark.parametrize("old", [None, pod("old", deletionTimestamp="2026-01-01T00:00:00Z")], ids=["gone", "ending"])
def test_a_service_that_leads_to_an_old_pod_is_waited_for(old: Document | None) -> None:
    cluster = Cluster(old, late=3)
    rollout = Rollout(cluster, "shop", "", ManualClock(), 60, 3, force=False)  # type: ignore[arg-type]
    rollout.run([DEPLOYMENT, SERVICE], {})
    assert cluster.looks == 4


def test_a_service_that_never_leaves_an_old_pod_fails_by_the_deadline_and_names_it() -> None:
    rollout = Rollout(Cluster(None, late=10**6), "shop", "", ManualClock(), 60, 3, force=False)  # type: ignore[arg-type]
    said = "^Service api: it still leads to pod old, which ends or is gone; not ready within 60 s"
    with pytest.raises(DeadlineError, match=said):
        rollout.run([DEPLOYMENT, SERVICE], {})
