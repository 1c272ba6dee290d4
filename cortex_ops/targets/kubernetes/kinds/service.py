"""A Service: done when it leads to a pod that is ready, and to none that is ending; what has no selector leads where
somebody says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from cortex_ops.targets.kubernetes.kinds.base import gone
from cortex_ops.targets.kubernetes.objects import Document, labels_of
from cortex_ops.targets.kubernetes.pods import Budget

SERVICE_NAME = "kubernetes.io/service-name"


class Service:
    """`slices` are the EndpointSlices of its namespace: what the nodes send its traffic to. `ended` are uids of pods
    that are gone or on their way out.

    The controller that writes the slices asks an API server that was away again after up to a minute. Until then they
    hold pods that end, which answer as the old release does, and then not at all.
    """

    def __init__(self, slices: Iterable[Document] = (), ended: Collection[str] = ()) -> None:
        self._slices, self._ended = list(slices), ended

    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        return not self.waits_for(live, pods) and not gone(live)

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        return gone(live)

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        if not (live.get("spec") or {}).get("selector"):
            return ""
        name = live["metadata"]["name"]
        ready = [
            endpoint
            for one in self._slices
            if labels_of(one).get(SERVICE_NAME) == name
            for endpoint in one.get("endpoints") or []
            if (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses")
        ]
        if not ready:
            return "it leads to no pod that is ready"
        targets = [endpoint.get("targetRef") or {} for endpoint in ready]
        ended = sorted(str(one["name"]) for one in targets if one.get("uid") in self._ended)
        return f"it still leads to pod {ended[0]}, which ends or is gone" if ended else ""
