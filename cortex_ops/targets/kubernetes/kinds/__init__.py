"""When is an object done, when is it over, and what does it wait for? One small class per kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from cortex_ops.targets.kubernetes.kinds.base import Kind
from cortex_ops.targets.kubernetes.kinds.claim import Claim
from cortex_ops.targets.kubernetes.kinds.deployment import Deployment
from cortex_ops.targets.kubernetes.kinds.job import Job
from cortex_ops.targets.kubernetes.kinds.other import Other
from cortex_ops.targets.kubernetes.kinds.service import Service
from cortex_ops.targets.kubernetes.kinds.statefulset import StatefulSet
from cortex_ops.targets.kubernetes.objects import Document, group

__all__ = ["Kind", "kind_of"]

_KINDS: dict[tuple[str, str], type[Deployment] | type[StatefulSet] | type[Job]] = {
    ("apps", "Deployment"): Deployment,
    ("apps", "StatefulSet"): StatefulSet,
    ("batch", "Job"): Job,
}


def kind_of(
    document: Document, *, binding: str = "", slices: Iterable[Document] = (), ended: Collection[str] = ()
) -> Kind:
    """`binding` is the `volumeBindingMode` of a claim's storage class, `slices` the namespace's EndpointSlices, and
    `ended` the uids of pods that end or are gone."""
    kind = str(document.get("kind"))
    if kind == "PersistentVolumeClaim":
        return Claim(binding)
    if (kind, document.get("apiVersion")) == ("Service", "v1"):
        return Service(slices, ended)
    known = _KINDS.get((group(str(document.get("apiVersion"))), kind))
    return known() if known is not None else Other()
