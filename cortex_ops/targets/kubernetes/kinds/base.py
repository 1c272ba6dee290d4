"""The questions that every kind answers about an object while a rollout waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cortex_ops.targets.kubernetes.objects import Document, Ref
from cortex_ops.targets.kubernetes.pods import Budget


class Kind(Protocol):
    """`live` is the object as the server has it, `pods` those of its newest revision (`pods.newest`). Ask whether it
    is done before whether it failed: what is done may still have a pod that crashed."""

    def done(self, live: Document, pods: Sequence[Document]) -> bool:
        """Whether it is as it was asked to be."""
        ...

    def failed(self, live: Document, pods: Sequence[Document], budget: Budget) -> str:
        """Why it will never be done, object and cause first; "" while there is hope."""
        ...

    def waits_for(self, live: Document, pods: Sequence[Document]) -> str:
        """What it lacks, as one clause that a person reads when the time is up; "" when it is done."""
        ...


UNSEEN = "its controller has not seen the change"


def gone(live: Document) -> str:
    """An object that is deleted while it is waited for is an error: somebody else is at work."""
    if live["metadata"].get("deletionTimestamp"):
        return f"{label(live)} is being deleted while it is waited for"
    return ""


def label(live: Document) -> str:
    return Ref.of(live).label()


def with_clause(said: str, more: str) -> str:
    return f"{said}: {more}" if more else said


def number(document: Document, key: str, default: int = 0) -> int:
    """The API leaves out counts of 0."""
    value = document.get(key)
    return default if value is None else int(value)
