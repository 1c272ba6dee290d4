"""A Service: done when it leads to a pod that is ready; what has no selector leads where somebody says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cortex_ops.targets.kubernetes.kinds.base import gone
from cortex_ops.targets.kubernetes.objects import Document, labels_of
from cortex_ops.targets.kubernetes.pods import Budget

SERVICE_NAME = "kubernetes.io/service-name"


class Service:
    """`slices` are the EndpointSlices of its namespace: what the nodes send its traffic to."""

    def __init__(self, slices: Iterable[Document] = ()) -> None:
        self._slices = list(slices)

    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        return not self.waits_for(live, pods) and not gone(live)

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        return gone(live)

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        if not (live.get("spec") or {}).get("selector"):
            return ""
        name = live["metadata"]["name"]
        mine = [one for one in self._slices if labels_of(one).get(SERVICE_NAME) == name]
        ready = [
            address
            for one in mine
            for endpoint in one.get("endpoints") or []
            if (endpoint.get("conditions") or {}).get("ready") is not False
            for address in endpoint.get("addresses") or []
        ]
        return "" if ready else "it leads to no pod that is ready"
