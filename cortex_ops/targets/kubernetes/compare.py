"""Drift: is a live object what was rendered? All that was rendered must be there, and nothing else that matters.

`differences` looks at values; `ownership` at who set what else. Values of variables and of Secrets are never shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cortex_ops.kernel.redact import redact
from cortex_ops.kernel.values import Change
from cortex_ops.targets.kubernetes.equal import empty, same
from cortex_ops.targets.kubernetes.objects import Document, Ref
from cortex_ops.targets.kubernetes.ownership import foreign, leftovers
from cortex_ops.targets.kubernetes.paths import SETS, Place, by_identity, identity, join, keys_of, settled

ABSENT = "absent"
HIDDEN = "(redacted)"
# A key more in one of these changes what the others mean.
_WHOLE = frozenset({"selector", "podSelector", "namespaceSelector", "labelSelector", "matchLabels", "nodeSelector"})


def differences(rendered: Document, live: Document | None) -> list[Change]:
    """Of everything that is rendered, and of items that were added to lists of containers, variables, volumes, mounts
    and ports. What the server fills in is no difference. `live` is None when there is no such object."""
    label = Ref.of(rendered).label()
    if live is None:
        return [Change(object=label, field="object", expected="present", found=ABSENT)]
    found = _Comparison(label, str(rendered["kind"]))
    want, have = settled(rendered), settled(live)
    for key, value in want.items():
        if key == "metadata":
            for part in ("labels", "annotations"):
                found.map(("metadata", part), f"metadata.{part}", value.get(part) or {}, _part(have, part))
        elif key not in ("apiVersion", "kind", "status"):
            found.value((key,), key, value, have.get(key))
    return [_hidden(one) for one in found.changes] if rendered["kind"] == "Secret" else found.changes


def pending(rendered: Document, live: Document | None, ours: str) -> list[Change]:
    """What applying `rendered` as the field manager `ours` would change, as far as can be told without the server."""
    changes = differences(rendered, live)
    if live is None:
        return changes
    known = {one.field for one in changes}
    left = [one for one in leftovers(rendered, live, ours) if one.path not in known]
    return changes + [Change(object=one.object, field=one.path, expected=ABSENT, found="set") for one in left]


def drift(rendered: Document, live: Document | None, ours: str, ignore: Iterable[str] = ()) -> list[Change]:
    """`pending`, and every field that other managers than `ours` and those to `ignore` have added."""
    changes = pending(rendered, live, ours)
    others = {one.path: one for one in foreign(rendered, live, ours, ignore)} if live is not None else {}
    out = []
    for one in changes:
        other = others.pop(one.field, None)
        out.append(one.model_copy(update={"found": f"{one.found} by {other.manager}"}) if other else one)
    return out + [
        Change(object=one.object, field=one.path, expected=ABSENT, found=f"set by {one.manager}")
        for one in others.values()
    ]


def _part(document: Document, part: str) -> Document:
    return (document.get("metadata") or {}).get(part) or {}


def _hidden(change: Change) -> Change:
    def shown(value: Any, hidden: str) -> Any:
        return value if value in (ABSENT, "present") else hidden

    found = shown(change.found, f"{HIDDEN}, not equal")
    return change.model_copy(update={"expected": shown(change.expected, HIDDEN), "found": found})


class _Comparison:
    """Collects the changes of one object. A policy is exact: what is added to one opens something."""

    def __init__(self, label: str, kind: str) -> None:
        self.label = label
        self.exact = kind == "NetworkPolicy"
        self.pod = kind == "Pod"  # to which admission adds volumes and mounts
        self.changes: list[Change] = []

    def add(self, path: str, expected: Any, found: Any) -> None:
        self.changes.append(Change(object=self.label, field=path, expected=_shown(expected), found=_shown(found)))

    def value(self, place: Place, path: str, want: Any, have: Any) -> None:
        if want is None:
            return
        if have is None and not (isinstance(want, list) and keys_of(place)):
            if not empty(place, want):
                self.add(path, want, ABSENT)
        elif isinstance(want, dict) and isinstance(have, dict):
            self.map(place, path, want, have)
        elif isinstance(want, list) and isinstance(have or [], list):
            self.list(place, path, want, have or [])
        elif not same(place, want, have):
            self.add(path, want, have)

    def map(self, place: Place, path: str, want: Document, have: Document) -> None:
        for key, value in want.items():
            self.value((*place, key), join(path, key), value, have.get(key))
        exact = self.exact and place[:1] == ("spec",)
        whole = exact or place[-1] in _WHOLE or place in (("data",), ("binaryData",))
        for key, value in have.items():
            if want.get(key) is not None:
                continue
            inner = (*place, key)
            if whole and not empty(inner, value):
                self.add(join(path, key), ABSENT, value)
            elif isinstance(value, list) and "template" in place and keys_of(inner):
                self.list(inner, join(path, key), [], value)

    def list(self, place: Place, path: str, want: list[Any], have: list[Any]) -> None:
        if place[-1] in SETS:
            missing = {str(one) for one in want} - {str(one) for one in have}
            if missing or (len(set(map(str, have))) > len(set(map(str, want))) and place[-1] != "finalizers"):
                self.add(path, want, have)
            return
        wanted, found = by_identity(place, want), by_identity(place, have)
        if place[-1] == "env" and all(identity(place, one) for one in (*want, *have)):
            # Of two variables of one name the last one counts.
            wanted, found = ({identity(place, one): one for one in items} for items in (want, have))
        if wanted is not None and found is not None and (wanted or keys_of(place)):
            self.items(place, path, wanted, found)
        elif any(isinstance(one, dict | list) for one in (*want, *have)):
            for number in range(max(len(want), len(have))):
                if number >= len(have):
                    self.add(f"{path}[{number}]", want[number], ABSENT)
                elif number >= len(want):
                    self.add(f"{path}[{number}]", ABSENT, have[number])
                else:
                    self.value(place, f"{path}[{number}]", want[number], have[number])
        elif len(want) != len(have) or not all(same(place, *pair) for pair in zip(want, have, strict=True)):
            self.add(path, want, have)

    def items(self, place: Place, path: str, want: Document, have: Document) -> None:
        for key, one in want.items():
            where = f"{path}[{key}]"
            if key not in have:
                self.add(where, "set" if place[-1] == "env" else "present", ABSENT)
            elif place[-1] != "env":
                self.value(place, where, one, have[key])
            elif not _same_variable(place, one, have[key]):
                self.add(where, "as rendered", "another value")
        for key in have.keys() - want.keys() if not self.pod else ():
            self.add(f"{path}[{key}]", ABSENT, "set" if place[-1] == "env" else "present")


def _same_variable(place: Place, want: Document, have: Document) -> bool:
    """A variable has a value or says where it comes from; an empty value is left out by the server."""
    told = [{key for key, value in one.items() if not empty((key,), value)} for one in (want, have)]
    inner = _Comparison("", "")
    inner.value(place, "", want, have)
    return told[0] == told[1] and not inner.changes


def _shown(value: Any) -> Any:
    """What has parts is only said to be there: it may be long, and hold variables."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict) for one in value)):
        return "present"
    return [_shown(one) for one in value] if isinstance(value, list) else value
