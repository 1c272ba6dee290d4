"""A Deployment: done when all its replicas are of the newest revision, available, and the old ones are gone."""

from __future__ import annotations

from collections.abc import Sequence

from cortex_ops.targets.kubernetes.causes import is_quota, short
from cortex_ops.targets.kubernetes.kinds.base import UNSEEN, gone, label, number, with_clause
from cortex_ops.targets.kubernetes.objects import Document, condition
from cortex_ops.targets.kubernetes.pods import Budget, doom, rejected, replica_failure, seen, waits


class Deployment:
    """The rules and their order are those of `kubectl rollout status`. How many replicas there should be is asked of
    the live object: an autoscaler may have set it."""

    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        return not self._lacks(live) and not gone(live)

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        if deleted := gone(live):
            return deleted
        if not seen(live):  # all that follows would speak of what was before
            return ""
        said = doom(pods, budget) or rejected(pods, budget.restarts, budget.forgiven)
        if said:
            return f"{label(live)}: {said}"
        refused = replica_failure(live)
        # Pods that were ended first give their share of a quota back a moment later.
        recreated = (live["spec"].get("strategy") or {}).get("type") == "Recreate"
        if refused and not (recreated and is_quota(refused)):
            return refused
        if late := _late(live):
            seconds = number(live["spec"], "progressDeadlineSeconds", 600)
            return with_clause(f"{label(live)} made no progress within {seconds} s", waits(pods) or late)
        return ""

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        lacks = self._lacks(live)
        if not lacks or lacks == UNSEEN:
            return lacks
        refused = condition(live, "ReplicaFailure").get("message", "")
        return with_clause(lacks, waits(pods) or short(refused))

    def _lacks(self, live: Document) -> str:
        if not seen(live):
            return UNSEEN
        status, wanted = live.get("status") or {}, number(live["spec"], "replicas", 1)
        updated, available = number(status, "updatedReplicas"), number(status, "availableReplicas")
        paused = "its rollout is paused, and " if live["spec"].get("paused") else ""
        if _late(live):
            return f"{paused}{available} of {wanted} pods are available, and its progress deadline is over"
        if updated < wanted:
            return f"{paused}{updated} of {wanted} pods are of the new revision"
        if number(status, "replicas") > updated:
            return f"{paused}{number(status, 'replicas') - updated} of the old revision have not been replaced"
        if available < updated:
            return f"{paused}{available} of {updated} new pods are available"
        return ""


def _late(live: Document) -> str:
    """Its message, when the time for progress is over. Only of use once the change was seen."""
    for status in ("False", "Unknown"):
        found = condition(live, "Progressing", status)
        if found.get("reason") == "ProgressDeadlineExceeded":
            return short(found.get("message", "")) or "ProgressDeadlineExceeded"
    return ""
