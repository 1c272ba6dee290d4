"""Removing an environment from its cluster: what carries our labels in its namespace, and nothing else."""

from __future__ import annotations

from cortex_ops.adapters.cluster import MANAGER, Cluster
from cortex_ops.kernel.errors import OpsError
from cortex_ops.render.kubernetes.common import MANAGED_BY, PART_OF
from cortex_ops.targets.kubernetes.objects import Ref

# What starts pods first, then what they used. Claims hold the data, a namespace what may be somebody else's.
_KINDS = (
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("batch/v1", "Job"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("policy/v1", "PodDisruptionBudget"),
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("networking.istio.io/v1", "ServiceEntry"),
    ("v1", "ServiceAccount"),
    ("v1", "Secret"),
    ("v1", "ConfigMap"),
    ("coordination.k8s.io/v1", "Lease"),
)
_CLAIMS = ("v1", "PersistentVolumeClaim")


def remove_environment(cluster: Cluster, stack: str, namespace: str, *, data: bool) -> list[str]:
    """What was removed, one line each; claims only when `data` is true, the namespace never."""
    selector = f"{PART_OF}={stack}"
    removed = []
    for api, kind in (*_KINDS, *((_CLAIMS,) if data else ())):
        if kind not in cluster.served(api):
            continue
        # The claims of a StatefulSet carry the labels of its pods, and not who manages them.
        labels = selector if kind == "PersistentVolumeClaim" else f"{selector},{MANAGED_BY}={MANAGER}"
        for one in cluster.items(cluster.collection(api, kind, namespace), labels):
            document = {"apiVersion": api, "kind": kind, **one}
            if one["metadata"].get("ownerReferences"):
                continue
            try:
                cluster.delete(document, uid=one["metadata"]["uid"])
            except OpsError as error:
                removed.append(f"(not {Ref.of(document).label()}: {error.message})")
            else:
                removed.append(f"{Ref.of(document).label()} of {namespace}")
    return removed
