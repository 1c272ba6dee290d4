"""One naming function for every place that has rules for names.

Kubernetes DNS-1123 labels, compose project and service names, volume names and Dagster asset keys all go
through here, so that two names that would collide anywhere are found once, at validation.
"""

from __future__ import annotations

import re

from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.errors import InputError

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


def is_label(name: str) -> bool:
    """A DNS-1123 label that starts with a letter (as a Service must), at most 63 characters."""
    return bool(_LABEL.fullmatch(name)) and "--" not in name


def label(*parts: str, limit: int = 63) -> str:
    """Join parts with `-`; a result that is too long keeps its head and gets a hash of the whole."""
    name = "-".join(p for p in parts if p)
    if len(name) > limit:
        name = f"{name[: limit - 9].rstrip('-')}-{sha256(name.encode())[:8]}"
    if not is_label(name):
        raise InputError(f"{name!r} is no valid name", remedy="use lower-case letters, digits and single hyphens")
    return name


def asset_name(name: str) -> str:
    """The Dagster form of a label. Injective on labels, because labels contain no underscore."""
    return name.replace("-", "_")
