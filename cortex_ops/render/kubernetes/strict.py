"""Is a document what the API takes? Offline and strict: unknown keys, wrong types, missing fields, with their paths.

The description is that of the official client's models, which are generated from the API's own; kinds that come with
an operator or a mesh are described in `custom`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from cortex_ops.render.kubernetes import custom

_SCALARS: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}
_KINDS = {
    "v1": ("Namespace", "Service", "ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim"),
    "apps/v1": ("Deployment", "StatefulSet", "DaemonSet"),
    "batch/v1": ("Job",),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "discovery.k8s.io/v1": ("EndpointSlice",),
    "autoscaling/v2": ("HorizontalPodAutoscaler",),
    "rbac.authorization.k8s.io/v1": ("Role", "RoleBinding"),
}


def findings(document: dict[str, Any]) -> list[str]:
    """`path: found …, expected …` for everything that a strict API server would refuse or drop."""
    from kubernetes import client

    api, kind = str(document.get("apiVersion", "")), str(document.get("kind", ""))
    if custom.is_custom(api, kind):
        return custom.findings(document)
    if kind not in _KINDS.get(api, ()):
        return [f"kind: found {kind!r} of {api!r}, expected a kind that is known here"]
    version = api.rpartition("/")[2].upper()
    return list(_object(document, getattr(client, f"{version}{kind}"), ""))


def _object(value: Any, model: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: found {value!r}, expected an object"
        return
    fields = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
    for key, one in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key in fields:
            yield from _value(one, fields[key], where)
        else:
            yield f"{where}: found an unknown key, expected one of {', '.join(sorted(fields))}"
    for name in _required(model):
        if (key := model.attribute_map[name]) not in value:
            yield f"{path}.{key}".lstrip(".") + ": found nothing, expected a value"


def _value(value: Any, kind: str, path: str) -> Iterator[str]:
    from kubernetes import client

    if listed := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            yield f"{path}: found {value!r}, expected a list"
            return
        for number, one in enumerate(value):
            yield from _value(one, listed[1], f"{path}[{number}]")
    elif mapped := re.fullmatch(r"dict\[str, ?(.+)\]", kind):
        if not isinstance(value, dict):
            yield f"{path}: found {value!r}, expected a mapping"
            return
        for key, one in value.items():
            yield from _value(one, mapped[1], f"{path}.{key}")
    elif kind in _SCALARS:
        if not isinstance(value, _SCALARS[kind]) or (kind != "bool" and isinstance(value, bool)):
            yield f"{path}: found {value!r}, expected {kind}"
    elif kind == "object":  # a port by number or name, the only such place in what is rendered here
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            yield f"{path}: found {value!r}, expected a number or a name"
    elif hasattr(client, kind):
        yield from _object(value, getattr(client, kind), path)


@functools.cache
def _required(model: Any) -> tuple[str, ...]:
    """The generated setters refuse None for what is required."""
    from kubernetes import client

    empty = model.__new__(model)
    empty.local_vars_configuration = client.Configuration()
    out = []
    for name in model.openapi_types:
        try:
            setattr(empty, name, None)
        except ValueError:
            out.append(name)
    return tuple(out)
