"""What names an object of a cluster, and when it is applied.

Documents are plain dictionaries as the API server's JSON gives them. Nothing here calls the server.
"""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import Value

Document = dict[str, Any]

# What holds the rest comes first; what starts pods comes when all that its pods need is there.
_BASE = ("Namespace", "CustomResourceDefinition")
WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet", "Job", "CronJob")
FOLLOWERS = ("HorizontalPodAutoscaler", "PodDisruptionBudget")


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


def order(kind: str) -> int:
    """When objects of a kind are applied: 0 what holds the others, 1 what pods need, 2 workloads, 3 what follows one.
    A kind that is not known here configures something, so it is there before the pods are."""
    if kind in _BASE:
        return 0
    return 2 if kind in WORKLOADS else 3 if kind in FOLLOWERS else 1


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
