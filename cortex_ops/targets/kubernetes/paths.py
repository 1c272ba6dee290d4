"""Places in an object: how a person reads them, and by what the items of a list are told apart.

The keys are those of the API's own lists (`x-kubernetes-list-map-keys`), and of two that it keeps in any order.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from cortex_ops.targets.kubernetes.objects import Document

Place = tuple[str, ...]  # field names from the root; items of lists add nothing

_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
DEFAULT_KEYS = {"protocol": "TCP"}
SETS = frozenset({"drop", "add", "accessModes", "policyTypes", "addresses", "finalizers"})


def keys_of(place: Place) -> tuple[str, ...]:
    """What identifies an item of the list at this place; empty where its position does."""
    if place and place[-1] == "ports":
        if "containers" in place or "initContainers" in place:
            return ("containerPort", "protocol")
        return ("port", "protocol") if place == ("spec", "ports") else ()
    return _KEYS.get(place[-1], ()) if place else ()


def identity(place: Place, item: Any) -> str:
    """`api`, `8080/TCP`: what an item of the list at this place is told apart by; "" where it has no such thing."""
    if not isinstance(item, dict):
        return ""
    if place[-1:] == ("metrics",):  # of an autoscaler; older servers move the one of the processor to the end
        kind = str(item.get("type", ""))
        about = item.get(kind[:1].lower() + kind[1:]) or {}
        name = about.get("name") or (about.get("metric") or {}).get("name")
        return f"{kind}/{name}" if name else ""
    values = [item.get(key, DEFAULT_KEYS.get(key)) for key in keys_of(place)]
    return "/".join(str(one) for one in values) if values and None not in values else ""


def by_identity(place: Place, items: list[Any]) -> dict[str, Any] | None:
    """The items of a list by what tells them apart, in order; None where something does not."""
    found = {identity(place, item): item for item in items}
    return None if "" in found or len(found) != len(items) else found


def join(path: str, key: str) -> str:
    """`spec.replicas`, `metadata.labels[app.kubernetes.io/name]`."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", key):
        return f"{path}.{key}" if path else key
    return f"{path}[{key}]"


def settled(document: Document) -> Document:
    """As a server keeps it: `stringData` of a Secret becomes `data`."""
    if document.get("kind") != "Secret" or not document.get("stringData"):
        return document
    given = {k: base64.b64encode(str(v).encode()).decode() for k, v in document["stringData"].items()}
    kept = {k: v for k, v in document.items() if k != "stringData"}
    return {**kept, "data": {**(document.get("data") or {}), **given}}
