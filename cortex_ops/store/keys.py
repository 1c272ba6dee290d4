"""Which keys a store accepts: such that none leaves the store, hides in it, or differs between backends."""

from __future__ import annotations

import re

from cortex_ops.kernel.errors import InputError

_PART = r"[A-Za-z0-9][A-Za-z0-9._@+-]*"
_KEY = re.compile(rf"{_PART}(/{_PART})*")
_PREFIX = re.compile(rf"({_PART}/)*({_PART})?")
LONGEST = 500
LONGEST_PART = 200  # file systems allow 255 bytes a name


def check_key(key: str) -> str:
    """The key itself; `InputError` for one that could leave the store or be taken for an unfinished write."""
    longest = max(len(part) for part in key.split("/"))
    if not _KEY.fullmatch(key) or len(key) > LONGEST or longest > LONGEST_PART:
        raise InputError(
            f"{key[:120]!r} is no valid key of a store",
            remedy="use letters, digits and ._@+- in parts joined by /, none starting with a dot",
        )
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself: empty, or the beginning of a valid key."""
    if not _PREFIX.fullmatch(prefix):
        raise InputError(f"{prefix[:120]!r} is no valid prefix of a store's keys")
    return prefix
