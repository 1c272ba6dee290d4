"""YAML that every reader reads alike: each text value double-quoted, keys plain only where that is safe.

A bare `1234567e8`, `on` or `9022:22` is a number, a truth value or a base-60 integer to one reader or another.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from cortex_ops.kernel.collector import collector_paused

_PLAIN_KEY = re.compile(r"^[A-Za-z][A-Za-z0-9_./-]*$")
_TRAPS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Key(str):
    """A mapping key that is safe without quotes."""


class Text(str):
    """Text of several lines that is shown as such, where it can be: a file within the file."""


class _Dumper(_Base):
    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')


def _key(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value))


def _block(dumper: Any, value: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style="|")


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Text, _block)
_Dumper.add_representer(_Key, _key)


def to_yaml(value: Any) -> str:
    """Key order is kept. Raises `TypeError` for values that are no plain data."""
    return yaml.dump(
        _keyed(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000, default_flow_style=False
    )


@collector_paused()
def read_yaml(text: str) -> Any:
    """What `to_yaml` wrote."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@collector_paused()
def read_all_yaml(text: str) -> list[Any]:
    """The documents of a file of several."""
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _keyed(value: Any) -> Any:
    if isinstance(value, dict):
        return {(_Key(k) if _plain(k) else str(k)): _keyed(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_keyed(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} is no plain value")


def _plain(key: str) -> bool:
    return bool(_PLAIN_KEY.match(key)) and key.lower() not in _TRAPS
