"""What a rollout would change, for people: one value that says it, and its text for a page or a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cortex_ops.kernel.values import Change, Value
from cortex_ops.targets.kubernetes.causes import short
from cortex_ops.targets.kubernetes.compare import pending
from cortex_ops.targets.kubernetes.objects import Document, Ref

_LINES = 200
_WIDTH = 80


class Diff(Value):
    """Labels of objects; of changed ones what changes (`found` before, `expected` after). Holds no secret."""

    created: tuple[str, ...] = ()
    changed: tuple[Change, ...] = ()
    removed: tuple[str, ...] = ()
    unchanged: int = 0

    def empty(self) -> bool:
        return not (self.created or self.changed or self.removed)

    def summary(self) -> str:
        """`1 created, 2 changed, 20 unchanged`."""
        changed = len({one.object for one in self.changed})
        counts = (len(self.created), "created"), (changed, "changed"), (len(self.removed), "removed")
        return ", ".join(f"{n} {what}" for n, what in (*counts, (self.unchanged, "unchanged")) if n) or "nothing"

    def text(self, limit: int = _LINES) -> str:
        """At most `limit` lines after the summary, each of bounded width."""
        lines = [f"+ {one}" for one in self.created]
        for label in dict.fromkeys(one.object for one in self.changed):
            lines.append(f"~ {label}")
            lines += [f"    {_line(one)}" for one in self.changed if one.object == label]
        lines += [f"- {one}" for one in self.removed]
        more = len(lines) - limit
        shown = [*lines[:limit], f"… and {more} more lines"] if more > 0 else lines
        return "\n".join([self.summary(), *shown]) + "\n"

    def markdown(self, limit: int = _LINES) -> str:
        """The text as a block that a page shows as a difference."""
        head, _, body = self.text(limit).partition("\n")
        fence = "~~~~"  # no value can close it, since every value is on a line with something before it
        return f"**{head}**\n" + (f"\n{fence}diff\n{body}{fence}\n" if body else "")


def diff(rendered: Sequence[Document], live: Iterable[Document], ours: str, removed: Iterable[Ref] = ()) -> Diff:
    """`live` are the objects that are there, `removed` those that pruning will take; `ours` is the field manager."""
    now = {Ref.of(one).key(): one for one in live}
    created: list[str] = []
    changed: list[Change] = []
    unchanged = 0
    for document in rendered:
        ref = Ref.of(document)
        found = now.get(ref.key())
        if found is None:
            created.append(ref.label())
        elif changes := pending(document, found, ours):
            changed += [_bounded(one) for one in changes]
        else:
            unchanged += 1
    return Diff(
        created=tuple(created),
        changed=tuple(changed),
        removed=tuple(one.label() for one in removed),
        unchanged=unchanged,
    )


def _bounded(change: Change) -> Change:
    """A value may be a file of a megabyte, and this is stored."""
    sides = {"expected": change.expected, "found": change.found}
    return change.model_copy(update={side: short(v) if isinstance(v, str) else v for side, v in sides.items()})


def _line(change: Change) -> str:
    return f"{change.field}: {_value(change.found)} → {_value(change.expected)}"


def _value(value: Any) -> str:
    return short(value if isinstance(value, str) else str(value), _WIDTH)
