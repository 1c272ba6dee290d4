"""Every other kind: it is done as soon as it exists."""

from __future__ import annotations

from collections.abc import Sequence

from cortex_ops.targets.kubernetes.kinds.base import gone
from cortex_ops.targets.kubernetes.objects import Document
from cortex_ops.targets.kubernetes.pods import Budget


class Other:
    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        return not gone(live)

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        return gone(live)

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        return ""
