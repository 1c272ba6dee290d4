"""Is a document of a kind that a cluster has only with an operator or a mesh what that one takes?

The official client knows no such kinds. Described here is what this tool renders of them and no more, so that a slip
is found; a field that is right in the cluster and not written here is added here first.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

# A type; a tuple of what is allowed; a list of one: a list of such; `{str: …}`: any keys; a mapping whose required
# keys end with `!`.
Shape = Any

_SPAN = re.compile(r"[1-9][0-9]*(s|m|h)")
_METADATA = {"name!": str, "namespace!": str, "labels": {str: str}, "annotations": {str: str}}
_RELABELING = {
    "sourceLabels": [str],
    "targetLabel": str,
    "replacement": str,
    "regex": str,
    "action": ("replace", "keep", "drop"),
}
_SPECS: dict[tuple[str, str], Shape] = {
    ("networking.istio.io/v1", "ServiceEntry"): {
        "hosts!": [str],
        "exportTo": [str],
        "location!": ("MESH_EXTERNAL", "MESH_INTERNAL"),
        "resolution!": ("NONE", "STATIC", "DNS"),
        "ports!": [{"number!": int, "name!": str, "protocol!": ("HTTP", "HTTPS", "GRPC", "TCP", "TLS")}],
        "endpoints": [{"address!": str}],
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        "selector!": {"matchLabels!": {str: str}},
        "namespaceSelector": {"matchNames!": [str]},
        "podMetricsEndpoints!": [
            {"port!": str, "path": str, "interval": _SPAN, "scrapeTimeout": _SPAN, "relabelings": [_RELABELING]}
        ],
    },
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups!": [
            {
                "name!": str,
                "rules!": [
                    {"alert!": str, "expr!": str, "for": _SPAN, "labels": {str: str}, "annotations": {str: str}}
                ],
            }
        ]
    },
}


def is_custom(api: str, kind: str) -> bool:
    return (api, kind) in _SPECS


def findings(document: dict[str, Any]) -> list[str]:
    """`path: found …, expected …`, as `strict.findings`."""
    spec = _SPECS[document["apiVersion"], document["kind"]]
    whole = {"apiVersion!": str, "kind!": str, "metadata!": _METADATA, "spec!": spec}
    out = list(_differs(document, whole, ""))
    return out or (list(_endpoints(document["spec"])) if document["kind"] == "ServiceEntry" else [])


def _differs(value: Any, shape: Shape, path: str) -> Iterator[str]:
    if isinstance(shape, dict) and isinstance(value, dict):
        yield from _mapping(value, shape, path)
    elif isinstance(shape, dict):
        yield f"{path}: found {value!r}, expected a mapping"
    elif isinstance(shape, list):
        if not isinstance(value, list) or not value:
            yield f"{path}: found {value!r}, expected a list that is not empty"
            return
        for number, one in enumerate(value):
            yield from _differs(one, shape[0], f"{path}[{number}]")
    elif isinstance(shape, tuple):
        if value not in shape:
            yield f"{path}: found {value!r}, expected one of {', '.join(shape)}"
    elif isinstance(shape, re.Pattern):
        if not isinstance(value, str) or not shape.fullmatch(value):
            yield f"{path}: found {value!r}, expected text like {shape.pattern}"
    elif not isinstance(value, shape) or isinstance(value, bool):
        yield f"{path}: found {value!r}, expected {shape.__name__}"


def _mapping(value: dict[Any, Any], shape: dict[Any, Shape], path: str) -> Iterator[str]:
    known = {key.removesuffix("!"): one for key, one in shape.items() if key is not str}
    for key, one in value.items():
        where = f"{path}.{key}".lstrip(".")
        if key in known or str in shape:
            yield from _differs(one, known.get(key, shape.get(str)), where)
        else:
            yield f"{where}: found an unknown key, expected one of {', '.join(sorted(known))}"
    for key in (key[:-1] for key in shape if key is not str and key.endswith("!")):
        if key not in value:
            yield f"{path}.{key}".lstrip(".") + ": found nothing, expected a value"


def _endpoints(spec: dict[str, Any]) -> Iterator[str]:
    """Istio refuses names where it is to ask no resolver."""
    for number, one in enumerate(spec.get("endpoints", [])):
        if spec["resolution"] == "STATIC":
            try:
                ipaddress.ip_address(one["address"])
            except ValueError:
                yield f"spec.endpoints[{number}].address: found {one['address']!r}, expected an address"
