"""Do two values of an object mean the same? The server writes quantities its own way and leaves out what is empty."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from cortex_ops.targets.kubernetes.paths import Place

_QUANTITY = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d{1,2})?")
_BINARY = {unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)}
_DECIMAL = {unit: 1000**power for power, unit in enumerate(("k", "M", "G", "T", "P", "E"), 1)}
_SMALL = {"n": 1000**3, "u": 1000**2, "m": 1000}

# Where the API has a quantity: as the value of any key of these maps, or under these names.
_QUANTITY_MAPS = frozenset({"limits", "requests", "capacity", "hard", "overhead", "default", "defaultRequest"})
_QUANTITY_FIELDS = frozenset({"sizeLimit", "divisor", "averageValue"})
_NUMBER_OR_NAME = frozenset({"port", "targetPort", "maxSurge", "maxUnavailable", "minAvailable"})

# Here, what is absent means something else than what is empty.
_NOT_EMPTY = frozenset({"emptyDir", "podSelector", "namespaceSelector"})
_NOT_FALSE = frozenset({"automountServiceAccountToken", "allowPrivilegeEscalation", "enableServiceLinks"})


def quantity(value: Any) -> Fraction | None:
    """The exact amount of `500m`, `64Mi`, `1e3`, `2`; None when it is no quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _QUANTITY.fullmatch(str(value).strip())
    if not match:
        return None
    sign, digits, unit = match[1], Fraction(match[2].rstrip(".")), match[3] or ""
    if unit in _SMALL:
        digits /= _SMALL[unit]
    elif unit in _BINARY or unit in _DECIMAL:
        digits *= _BINARY.get(unit) or _DECIMAL[unit]
    elif unit:
        digits *= Fraction(10) ** int(unit[1:])
    return -digits if sign == "-" else digits


def same(place: Place, want: Any, have: Any) -> bool:
    """Of two scalars."""
    if isinstance(want, bool) or isinstance(have, bool):
        return want is have
    if place and (place[-1] in _QUANTITY_FIELDS or (len(place) > 1 and place[-2] in _QUANTITY_MAPS)):
        amounts = quantity(want), quantity(have)
        if None not in amounts:
            return amounts[0] == amounts[1]
    if place and place[-1] in _NUMBER_OR_NAME and isinstance(want, str | int) and isinstance(have, str | int):
        return str(want) == str(have)
    return bool(want == have)


def empty(place: Place, value: Any) -> bool:
    """Whether the server may leave it out, so that it says nothing."""
    name = place[-1] if place else ""
    if isinstance(value, dict):
        return name not in _NOT_EMPTY and all(empty((*place, key), one) for key, one in value.items())
    if value is False:
        return name not in _NOT_FALSE
    return value is None or value == 0 or value == "" or value == []
