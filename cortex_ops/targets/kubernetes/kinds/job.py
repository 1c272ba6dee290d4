"""A Job: done when it says that it is complete. How often it tries again is its own affair."""

from __future__ import annotations

from collections.abc import Sequence

from cortex_ops.targets.kubernetes.causes import short
from cortex_ops.targets.kubernetes.kinds.base import gone, label, number, with_clause
from cortex_ops.targets.kubernetes.objects import Document, condition
from cortex_ops.targets.kubernetes.pods import Budget, doom, last_end, waits


class Job:
    """`FailureTarget` and `SuccessCriteriaMet` come before its pods have ended, so neither is an end."""

    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        return bool(condition(live, "Complete")) and not gone(live)

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        if end := condition(live, "Failed"):
            why = last_end(pods) or short(end.get("message", ""))
            return f"{label(live)} failed ({end.get('reason') or 'no reason'}): {why or 'it says nothing'}"
        if condition(live, "Complete"):
            return ""
        if deleted := gone(live):
            return deleted
        said = doom(pods, budget)
        return f"{label(live)}: {said}" if said else ""

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        if condition(live, "Complete"):
            return ""
        if live["spec"].get("suspend"):
            return "it is suspended"
        status = live.get("status") or {}
        if not pods and not number(status, "active"):
            return "no pod of it was made"
        failures = number(status, "failed")
        tried = f", and {failures} failed before" if failures else ""
        return with_clause(f"its pod has not ended{tried}", waits(pods))
