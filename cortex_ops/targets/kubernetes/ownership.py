"""Who set which field, of `metadata.managedFields`: what others added to our objects, what we left behind, and how
the one becomes the other.

FieldsV1 names a field `f:name`, an item of a list `k:{its keys}`, `v:its value` or `i:its position`; `.` is the thing
itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any

from cortex_ops.kernel.values import Value
from cortex_ops.targets.kubernetes.objects import Document, Ref
from cortex_ops.targets.kubernetes.paths import DEFAULT_KEYS, join, settled

Steps = tuple[str, ...]

# What fills in an object as part of the cluster; small distributions are one program of their own name.
_CLUSTER = frozenset(
    {"kube-controller-manager", "kube-scheduler", "kube-apiserver", "kubelet", "cloud-controller-manager"}
    | {"k3s", "rke2", "k0s", "kubelite"}
)
# How many replicas is an autoscaler's, unless it is rendered and then compared; a restart changes nothing that runs;
# a claim is told its volume; distributions give every account the logins of their own registry.
_ALLOWED = (
    ("f:secrets",),
    ("f:imagePullSecrets",),
    ("f:spec", "f:replicas"),
    ("f:spec", "f:volumeName"),
    ("f:metadata", "f:labels", "f:kubernetes.io/metadata.name"),
)
_RESTARTED = "f:kubectl.kubernetes.io/restartedAt"

# What the server itself fills in belongs to whoever created the object, and comes back when it is removed.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "dnsPolicy": ("ClusterFirst",),
    "restartPolicy": ("Always",),
    "schedulerName": ("default-scheduler",),
    "terminationGracePeriodSeconds": (30,),
    "terminationMessagePath": ("/dev/termination-log",),
    "terminationMessagePolicy": ("File",),
    "imagePullPolicy": ("IfNotPresent", "Always"),
    "enableServiceLinks": (True,),
    "protocol": ("TCP",),
    "scheme": ("HTTP",),
    "successThreshold": (1,),
    "failureThreshold": (3,),
    "periodSeconds": (10,),
    "timeoutSeconds": (1,),
    "defaultMode": (420,),
    "progressDeadlineSeconds": (600,),
    "revisionHistoryLimit": (10,),
    "type": ("RollingUpdate", "ClusterIP"),
    "maxSurge": ("25%",),
    "maxUnavailable": ("25%",),
    "partition": (0,),
    "podManagementPolicy": ("OrderedReady",),
    "sessionAffinity": ("None",),
    "internalTrafficPolicy": ("Cluster",),
    "ipFamilyPolicy": ("SingleStack",),
    "volumeMode": ("Filesystem",),
    "completions": (1,),
    "parallelism": (1,),
    "completionMode": ("NonIndexed",),
}


class Field(Value):
    """One field of a live object: who set it, where a person finds it, and its name in FieldsV1."""

    object: str
    managers: tuple[str, ...]
    path: str
    steps: Steps

    @property
    def manager(self) -> str:
        """Them all, for a person."""
        return ", ".join(self.managers)


def foreign(rendered: Document, live: Document, ours: str, ignore: Iterable[str] = ()) -> list[Field]:
    """Fields that managers other than `ours` (and those to `ignore`) own and we neither own nor render, of what was
    ours to say: all but the status, and of the metadata the labels. Where a whole item or map is another's, only that
    is named. A rendered field that another changed is no such field: the next apply takes it back."""
    rendered = settled(rendered)
    allowed = {*ignore, *_CLUSTER, ours}
    mine: set[Steps] = set()
    theirs: dict[Steps, tuple[str, ...]] = {}
    for entry in _entries(live):
        manager = entry.get("manager", "")
        for steps in _leaves(entry.get("fieldsV1") or {}):
            if manager == ours:
                mine |= {steps[:length] for length in range(1, len(steps) + 1)}
            elif manager not in allowed and _in_scope(live, steps):
                theirs[steps] = (*theirs.get(steps, ()), manager)
    # Items of a list are named, and not the list.
    lists = {steps[:at] for steps in theirs for at, step in enumerate(steps) if not step.startswith("f:")}
    theirs = {
        steps: managers
        for steps, managers in theirs.items()
        if steps not in mine and steps not in lists and _resolve(rendered, steps) is None
    }
    out = []
    for steps, managers in sorted(theirs.items()):
        if any(steps[:length] in theirs for length in range(1, len(steps))):
            continue
        found = _resolve(live, steps)
        if found is not None and not _is_default(steps[-1].removeprefix("f:"), found[1]):
            out.append(Field(object=Ref.of(live).label(), managers=managers, path=found[0], steps=steps))
    return out


def leftovers(rendered: Document, live: Document, ours: str) -> list[Field]:
    """Fields that we applied once and that are rendered no more: the next apply takes them away."""
    rendered = settled(rendered)
    found: dict[str, Field] = {}
    for fields in applied(live, ours):
        for steps in _leaves(fields):
            gone = next((n for n in range(1, len(steps) + 1) if _resolve(rendered, steps[:n]) is None), None)
            where = _resolve(live, steps[:gone]) if gone is not None else None
            if where is not None:
                one = Field(object=Ref.of(live).label(), managers=(ours,), path=where[0], steps=steps[:gone])
                found.setdefault(one.path, one)
    return list(found.values())


def taken_over(live: Document, fields: Iterable[Field], ours: str) -> list[Document]:
    """The `managedFields` of an object in which these fields are no longer those of others, but what the manager
    `ours` has applied. An apply of ours that leaves them out takes them away then, together with all else that it
    changes: nothing is ever half removed, and what is removed need not be valid without what takes its place."""
    entries: list[Document] = copy.deepcopy(live["metadata"].get("managedFields") or [])
    mine = next((one for one in entries if _applies(one, ours)), None)
    if mine is None:
        mine = {"manager": ours, "operation": "Apply", "apiVersion": live["apiVersion"], "fieldsType": "FieldsV1"}
        entries.append(mine)
    for one in fields:
        for entry in entries:
            if entry.get("manager") in one.managers and not entry.get("subresource"):
                _join(mine.setdefault("fieldsV1", {}), _cut(entry.get("fieldsV1") or {}, one.steps))
    return [one for one in entries if one.get("fieldsV1")]


def _cut(fields: Document, steps: Steps) -> Document:
    """What is taken out of a set of fields: all at `steps` and below, empty when it is not there. What holds nothing
    afterwards goes."""
    first, rest = steps[0], steps[1:]
    if first not in fields:
        return {}
    if not rest:
        return {first: fields.pop(first)}
    found = _cut(fields[first], rest)
    if not fields[first] and found:
        del fields[first]
    return {first: found} if found else {}


def _join(target: Document, more: Document) -> None:
    for key, inner in more.items():
        _join(target.setdefault(key, {}), inner)


def applied(live: Document, ours: str) -> list[Document]:
    """What the manager `ours` has applied of an object, as FieldsV1; empty when it has applied nothing."""
    return [one.get("fieldsV1") or {} for one in live["metadata"].get("managedFields") or [] if _applies(one, ours)]


def _applies(entry: Document, manager: str) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "") == (manager, "Apply", "")


def _entries(live: Document) -> list[Document]:
    """Those of the object itself: a `subresource` is the status, or a scale that an autoscaler set."""
    return [one for one in live["metadata"].get("managedFields") or [] if not one.get("subresource")]


def _leaves(fields: Document, steps: Steps = ()) -> Iterator[Steps]:
    for key, inner in fields.items():
        if key == ".":
            yield steps
        elif inner:
            yield from _leaves(inner, (*steps, key))
        else:
            yield (*steps, key)


def _in_scope(live: Document, steps: Steps) -> bool:
    if any(steps[: len(one)] == one for one in _ALLOWED) or steps[0] == "f:status":
        return False
    if steps[-1] in (_RESTARTED, "f:annotations", "f:labels"):  # the maps themselves say nothing
        return False
    if steps[0] != "f:metadata":
        return True
    if steps[1:2] != ("f:labels",):
        return False
    # A namespace is labelled by many; what its pods may do is ours.
    return live["kind"] != "Namespace" or steps[2].startswith("f:pod-security.kubernetes.io/")


def _resolve(document: Any, steps: Steps) -> tuple[str, Any] | None:
    """(path for a person, value) of a field in an object; None when it is not there."""
    path, value = "", document
    for step in steps:
        kind, _, name = step.partition(":")
        if kind == "f":
            if not isinstance(value, dict) or value.get(name) is None:
                return None
            path, value = join(path, name), value[name]
        else:
            position = _position(value, kind, name)
            if position is None:
                return None
            keys = json.loads(name)
            shown = "/".join(str(one) for one in keys.values()) if kind == "k" else str(keys)
            path, value = f"{path}[{shown}]", value[position]
    return path, value


def _position(items: Any, kind: str, name: str) -> int | None:
    if not isinstance(items, list):
        return None
    asked = json.loads(name)
    for number, item in enumerate(items):
        if kind == "k":
            if isinstance(item, dict) and all(item.get(k, DEFAULT_KEYS.get(k)) == v for k, v in asked.items()):
                return number
        elif (item if kind == "v" else number) == asked:
            return number
    return None


def _is_default(name: str, value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_default(key, one) for key, one in value.items())
    return value in _DEFAULTS.get(name, ())
