"""A PersistentVolumeClaim: done when it has its volume, or will have it as soon as a pod asks."""

from __future__ import annotations

from collections.abc import Sequence

from cortex_ops.targets.kubernetes.kinds.base import gone, label
from cortex_ops.targets.kubernetes.objects import Document
from cortex_ops.targets.kubernetes.pods import Budget

LATER = "WaitForFirstConsumer"


class Claim:
    """`binding` is the `volumeBindingMode` of its storage class; when that is unknown, it waits for the volume."""

    def __init__(self, binding: str = "") -> None:
        self.binding = binding

    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        return not self.waits_for(live, pods) and not gone(live)

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        if deleted := gone(live):
            return deleted
        if _phase(live) == "Lost":
            return f"{label(live)} has lost its volume {live['spec'].get('volumeName', '')}".rstrip()
        return ""

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        phase = _phase(live)
        if phase == "Bound" or (phase == "Pending" and self.binding == LATER):
            return ""
        name = live["spec"].get("storageClassName")
        if name is None:  # which the server would have filled in
            return "it names no storage class, and the cluster has no default one"
        return f"no volume of storage class {name!r} was bound to it" if phase != "Lost" else "its volume is lost"


def _phase(live: Document) -> str:
    return str((live.get("status") or {}).get("phase") or "Pending")
