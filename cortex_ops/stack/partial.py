"""What is right in a document that is partly wrong, so that the checks of the whole can speak in the same run.

Only leaves are mended here: whoever refers to a service, a store or a route must still find it. A document with
more amiss than that is not mended, and the reader fixes the shape first.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from cortex_ops.stack.located import Key

# Stand-ins for required leaves. Findings at or around them are dropped by `near`, so no value here is ever judged.
_REQUIRED: dict[str, Any] = {
    "version": "1",
    "name": "x",
    "path": "x",
    "dockerfile": "x",
    "port": "1",
    "image": "x",
    "user": 1,
    "secret": "x",
    "volume": "1Gi",
    "size": "1Gi",
    "kind": "nats",
    "from": "env",
    "min": 1,
    "max": 1,
}
_GROUPS = {"services", "stores", "host_services", "libraries", "secrets", "environments"}


def repaired(document: dict[str, Any], errors: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """A copy in which each wrong leaf is gone or replaced; `None` when a whole part is wrong or missing."""
    out = copy.deepcopy(document)
    for item in errors:
        path: Key = tuple(item["loc"])
        if not path or path[-1] == "[key]":
            return None
        unknown = item["type"] == "extra_forbidden"
        if (unknown and len(path) == 1) or (not unknown and _is_part(path)):
            return None
        parent = _at(out, path[:-1])
        if isinstance(parent, list):
            parent.clear()  # without one item the others would be found at the wrong index
        elif isinstance(parent, dict):
            parent.pop(path[-1], None)
            if not unknown and path[-1] in _REQUIRED:
                parent[path[-1]] = _REQUIRED[str(path[-1])]
        else:
            return None
    return out


def near(path: Key, places: Sequence[Key]) -> bool:
    """Whether one of `places` is the path itself, above it or below it."""
    return any(path[: len(place)] == place[: len(path)] for place in places)


def _is_part(path: Key) -> bool:
    """Something that others refer to: a whole group or member, or a service's route."""
    head = path[0]
    return (
        (len(path) == 1 and head not in _REQUIRED) or (len(path) == 2 and head in _GROUPS) or path[2:] == ("route",)
    )


def _at(value: Any, path: Key) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value
