"""One small class per kind of store, each answering the same few questions: where is it, save it, restore it.

A kind that has no class here cannot be backed up by this version, and says so before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cortex_ops.backup.containers import Crew
from cortex_ops.backup.context import BackupContext
from cortex_ops.backup.manifest import Facts, Part, SourceRecord
from cortex_ops.backup.streams import Plain
from cortex_ops.kernel.errors import InputError

Sink = Callable[[str, Plain], Part]
"""Stores plain bytes under a part's name (`data`) and says what was stored."""

Take = Callable[[bytes], None]
Fetch = Callable[[str, Take], int]
"""Passes a part's verified plain bytes on; returns how many. What was passed counts only when it returns."""


@dataclass(frozen=True)
class Saved:
    record: SourceRecord
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restored:
    """`seconds` by step; `recovered` is the time from nothing to a store that answers with its data."""

    facts: Facts
    seconds: dict[str, float]
    recovered: float


class Source(Protocol):
    """A kind of store."""

    kind: str

    def save(self, ctx: BackupContext, crew: Crew, store: str, sink: Sink) -> Saved:
        """Save the running store of this name. Raises `OpsError`; then nothing counts."""
        ...

    def restore_aside(self, ctx: BackupContext, crew: Crew, record: SourceRecord, fetch: Fetch) -> Restored:
        """Restore into a throwaway of the recorded image and take the facts there; removes it again."""
        ...

    def compare(self, expected: Facts, found: Facts) -> list[str]:
        """Sentences about what differs; none when the copy is equal."""
        ...


def source_of(kind: str, store: str) -> Source:
    """The class for a kind; `InputError` naming the stack file's key for others."""
    from cortex_ops.backup.sources.postgres import Postgres

    kinds: dict[str, Source] = {"postgres": Postgres()}
    if kind not in kinds:
        raise InputError(
            f"backup.stores names {store}, a {kind} store, which this version cannot back up",
            remedy=f"name only stores of kind {', '.join(sorted(kinds))}",
        )
    return kinds[kind]
