"""Sizes, cores, spans, ports, crons and addresses as people write them; `ValueError` says what is expected."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple

# Bounds keep a slip of the keyboard from becoming a number that only an engine refuses, in its own words.
MAX_SIZE = 1024**5
MAX_CORES = 1024
MAX_SPAN = timedelta(days=3650)

_SIZE = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SPAN = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))


def size(text: str) -> int:
    """Bytes of `256Mi`."""
    match = re.fullmatch(r"([1-9][0-9]{0,14})(Ki|Mi|Gi)B?", text)
    if not match or int(match[1]) * _SIZE[match[2]] > MAX_SIZE:
        raise ValueError("expected a size with a unit, such as 256Mi or 10Gi")
    return int(match[1]) * _SIZE[match[2]]


def cpu(text: str) -> float:
    """Cores of `500m` or `1.5`."""
    cores = 0.0
    if re.fullmatch(r"[1-9][0-9]{0,8}m", text):
        cores = int(text[:-1]) / 1000
    elif re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text):
        cores = float(text)
    if not 0 < cores <= MAX_CORES:
        raise ValueError("expected cores, such as 500m or 2")
    return cores


def duration(text: str) -> timedelta:
    """A span such as `24h`."""
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    span = timedelta(seconds=int(match[1]) * _SPAN[match[2]]) if match else None
    if span is None or span > MAX_SPAN:
        raise ValueError("expected a span with a unit, such as 24h, 30m or 7d")
    return span


def port(text: str) -> int:
    """1 to 65535."""
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text) or int(text) > 65535:
        raise ValueError("expected a port from 1 to 65535")
    return int(text)


class Url(NamedTuple):
    """Where a service of somebody else listens."""

    scheme: str
    host: str
    port: str


def url(text: str) -> Url:
    """`https://host:port`, and nothing behind it: a path or a login would be lost or shown."""
    match = re.fullmatch(r"(https?)://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?):([0-9]{1,5})", text)
    if not match:
        raise ValueError("expected a scheme, a host and a port, such as https://elasticsearch.example.org:9200")
    port(match[4])
    return Url(match[1], match[2], match[4])


def pinned(text: str) -> str:
    """An image by digest."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}", text):
        raise ValueError("expected an image by digest, such as registry.example.org/prometheus@sha256:… (64 digits)")
    return text


def cron(text: str) -> str:
    """Five fields. With both day fields restricted cron means OR, which nobody expects: refused."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected five fields as in `0 3 * * *`, not {len(fields)}")
    for value, (name, low, high) in zip(fields, _FIELDS, strict=True):
        for item in value.split(","):
            _cron_item(item, name, low, high)
    if fields[2] != "*" and fields[4] != "*":
        raise ValueError("expected a restricted day of month or day of week, not both: cron reads both as OR")
    return text


def _cron_item(item: str, name: str, low: int, high: int) -> None:
    match = re.fullmatch(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([0-9]{1,2}))?", item)
    numbers = [int(n) for n in match.groups()[:2] if n is not None] if match else []
    bad_step = match is not None and match[3] is not None and int(match[3]) == 0
    if not match or bad_step or any(not low <= n <= high for n in numbers) or numbers != sorted(numbers):
        raise ValueError(f"expected a {name} from {low} to {high}, found {item!r}")
