"""What names an object of a cluster: its reference, its address in the API, and when it is applied.

Documents are plain dictionaries as the API server's JSON gives them. Nothing here calls the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import Value

Document = dict[str, Any]

# What holds the rest comes first; what starts pods comes when all that its pods need is there.
_BASE = ("Namespace", "CustomResourceDefinition")
WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob")
FOLLOWERS = ("HorizontalPodAutoscaler", "PodDisruptionBudget")


class Resource(Value):
    """Where the API keeps the objects of one kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True


class Ref(Value):
    """One object. `uid` is empty for what is only rendered; only with it is an object the very same one."""

    api_version: str
    kind: str
    namespace: str = ""
    name: str
    uid: str = ""

    @classmethod
    def of(cls, document: Document) -> Ref:
        """Raises `OpsError` when the document names no object."""
        metadata = document.get("metadata") or {}
        if not (document.get("apiVersion") and document.get("kind") and metadata.get("name")):
            raise OpsError("a document names no object: it needs apiVersion, kind and metadata.name")
        return cls(
            api_version=document["apiVersion"],
            kind=document["kind"],
            namespace=metadata.get("namespace") or "",
            name=metadata["name"],
            uid=metadata.get("uid") or "",
        )

    def label(self) -> str:
        """`Deployment api`."""
        return f"{self.kind} {self.name}"

    def key(self) -> tuple[str, str, str, str]:
        """What it is called, whichever version of its API was asked: (group, kind, namespace, name)."""
        return group(self.api_version), self.kind, self.namespace, self.name


def group(api_version: str) -> str:
    """`apps` of `apps/v1`; empty for the core."""
    return api_version.rpartition("/")[0]


_KNOWN = (
    Resource(api_version="v1", kind="Namespace", plural="namespaces", namespaced=False),
    Resource(api_version="v1", kind="ServiceAccount", plural="serviceaccounts"),
    Resource(api_version="v1", kind="ConfigMap", plural="configmaps"),
    Resource(api_version="v1", kind="Secret", plural="secrets"),
    Resource(api_version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims"),
    Resource(api_version="v1", kind="Service", plural="services"),
    Resource(api_version="v1", kind="Pod", plural="pods"),
    Resource(api_version="v1", kind="Event", plural="events"),
    Resource(api_version="discovery.k8s.io/v1", kind="EndpointSlice", plural="endpointslices"),
    Resource(api_version="networking.k8s.io/v1", kind="NetworkPolicy", plural="networkpolicies"),
    Resource(api_version="apps/v1", kind="StatefulSet", plural="statefulsets"),
    Resource(api_version="apps/v1", kind="Deployment", plural="deployments"),
    Resource(api_version="apps/v1", kind="ReplicaSet", plural="replicasets"),
    Resource(api_version="apps/v1", kind="DaemonSet", plural="daemonsets"),
    Resource(api_version="batch/v1", kind="Job", plural="jobs"),
    Resource(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler", plural="horizontalpodautoscalers"),
    Resource(api_version="policy/v1", kind="PodDisruptionBudget", plural="poddisruptionbudgets"),
    Resource(api_version="coordination.k8s.io/v1", kind="Lease", plural="leases"),
    Resource(api_version="storage.k8s.io/v1", kind="StorageClass", plural="storageclasses", namespaced=False),
)


def discovered(answer: Document) -> list[Resource]:
    """The kinds that the server says it has, of its APIResourceList (`GET /apis/monitoring.coreos.com/v1`)."""
    return [
        Resource(
            api_version=answer["groupVersion"],
            kind=one["kind"],
            plural=one["name"],
            namespaced=bool(one.get("namespaced")),
        )
        for one in answer.get("resources") or []
        if "/" not in one["name"]  # `deployments/scale` is a part of an object
    ]


def resource(api_version: str, kind: str, found: Iterable[Resource] = ()) -> Resource:
    """Of the kinds that are rendered here, or of those that were `discovered`; else `OpsError`."""
    for one in (*_KNOWN, *found):
        if (one.api_version, one.kind) == (api_version, kind):
            return one
    raise OpsError(
        f"{kind} of {api_version} is a kind that this cluster does not have", remedy="install what defines the kind"
    )


def collection(of: Resource, namespace: str = "") -> str:
    """The address of all objects of a kind: `/apis/apps/v1/namespaces/shop/deployments`. Without a namespace those
    of a namespaced kind are the whole cluster's."""
    root = f"/apis/{of.api_version}" if group(of.api_version) else f"/api/{of.api_version}"
    space = f"/namespaces/{quote(namespace, safe='')}" if of.namespaced and namespace else ""
    return f"{root}{space}/{of.plural}"


def path(ref: Ref, found: Iterable[Resource] = (), *, part: str = "") -> str:
    """The address of one object, or of a `part` of it (`status`, `scale`, `log`). `OpsError` for an unknown kind, and
    for an object of a namespaced kind without a namespace."""
    of = resource(ref.api_version, ref.kind, found)
    if of.namespaced and not ref.namespace:
        raise OpsError(f"{ref.label()} names no namespace")
    one = f"{collection(of, ref.namespace)}/{quote(ref.name, safe='')}"
    return f"{one}/{part}" if part else one


def order(kind: str) -> int:
    """When objects of a kind are applied: 0 what holds the others, 1 what pods need, 2 workloads, 3 what follows one.
    A kind that is not known here configures something, so it is there before the pods are."""
    if kind in _BASE:
        return 0
    return 2 if kind in WORKLOADS else 3 if kind in FOLLOWERS else 1


def in_order(documents: Sequence[Document]) -> list[Document]:
    """By `order`, else as given."""
    return sorted(documents, key=lambda one: order(str(one.get("kind"))))


def labels_of(document: Document) -> dict[str, str]:
    return (document.get("metadata") or {}).get("labels") or {}


def annotations_of(document: Document) -> dict[str, str]:
    return (document.get("metadata") or {}).get("annotations") or {}


def condition(document: Document, kind: str, status: str = "True") -> Document:
    """Its condition of this type when that has this status; else an empty document."""
    for one in (document.get("status") or {}).get("conditions") or []:
        if one.get("type") == kind and one.get("status") == status:
            return one
    return {}
