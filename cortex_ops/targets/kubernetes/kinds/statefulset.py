"""A StatefulSet: done when its pods are ready and of the revision that its partition asks for."""

from __future__ import annotations

from collections.abc import Sequence

from cortex_ops.targets.kubernetes.kinds.base import UNSEEN, gone, label, number, with_clause
from cortex_ops.targets.kubernetes.objects import Document
from cortex_ops.targets.kubernetes.pods import Budget, doom, newest, rejected, seen, stuck, waits


class StatefulSet:
    """Given all its pods, it finds those of the newest revision itself, and names an old one that blocks them."""

    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        return not _lacks(live) and not gone(live)

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        if deleted := gone(live):
            return deleted
        if not seen(live):
            return ""
        new = newest(live, pods)
        said = doom(new, budget) or rejected(new, budget.restarts, budget.forgiven)
        return f"{label(live)}: {said}" if said else ""

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        lacks = _lacks(live)
        if not lacks or lacks == UNSEEN:
            return lacks
        if old := stuck(live, pods):
            name = old[0]["metadata"]["name"]
            return f"{lacks}: pod {name} of an earlier revision is not ready and has to be deleted first"
        return with_clause(lacks, waits(newest(live, pods)))


def _lacks(live: Document) -> str:
    """After `kubectl rollout status`. That refuses OnDelete; here it waits for the pods to be deleted, since until
    then what was released does not run."""
    if not seen(live):
        return UNSEEN
    status, wanted = live.get("status") or {}, number(live["spec"], "replicas", 1)
    ready, updated = number(status, "readyReplicas"), number(status, "updatedReplicas")
    if ready < wanted:
        return f"{ready} of {wanted} pods are ready"
    strategy = live["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        old = f"{wanted - updated} of {wanted} pods are of an earlier revision until somebody deletes them (OnDelete)"
        return old if updated < wanted else ""
    partition = number(strategy.get("rollingUpdate") or {}, "partition")
    if partition:
        asked = max(0, wanted - partition)
        return f"{updated} of {asked} pods past its partition are of the new revision" if updated < asked else ""
    if status.get("updateRevision") != status.get("currentRevision"):
        return f"{updated} of {wanted} pods are of the new revision"
    return ""
