"""Payload filters as the engine's conditions. What it cannot answer exactly is refused, never approximated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge

from qdrant_standin.errors import checked, invalid, malformed, mapping, needed, not_served
from qdrant_standin.values import point_id

CLAUSES = ("must", "should", "must_not")
LAST_INTEGER = 2**63


class _Boolean:
    """A boolean for the engine's binding, which tries integers before booleans: to it Python's `True` is the
    integer 1, and a filter on `true` finds nothing. It also knows NumPy's booleans, by name, which are no
    integers; this is one, without NumPy."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __bool__(self) -> bool:
        return self.value


_Boolean.__module__, _Boolean.__name__, _Boolean.__qualname__ = "numpy", "bool_", "bool_"


def make_filter(body: Any) -> Any:
    """The engine's filter, or None where there is none."""
    if body is None:
        return None
    found = mapping(body, "filter")
    if unknown := sorted(set(found) - set(CLAUSES)):
        raise malformed(f"unknown field `{unknown[0]}` in a filter, expected one of {', '.join(CLAUSES)}")
    parts: dict[str, Any] = {}
    for clause in CLAUSES:
        if found.get(clause) is not None:
            items = found[clause] if isinstance(found[clause], list) else [found[clause]]
            parts[clause] = [_condition(mapping(item, clause)) for item in items]
    return edge.Filter(**parts)


def _condition(item: dict[str, Any]) -> Any:
    if item and set(item) <= set(CLAUSES):
        return make_filter(item)
    if "key" in item:
        return _field(item)
    if "has_id" in item:
        return edge.HasIdCondition({point_id(one) for one in needed(item, "has_id", list)})
    for name, kind in (("is_empty", edge.IsEmptyCondition), ("is_null", edge.IsNullCondition)):
        if name in item:
            key = needed(mapping(item[name], name), "key", str)
            return _made(lambda kind=kind, key=key: kind(key))  # type: ignore[misc]
    raise not_served(f"the condition {sorted(item)}")


def _field(item: dict[str, Any]) -> Any:
    key = needed(item, "key", str)
    given = {name: value for name, value in item.items() if name != "key" and value is not None}
    if not given:
        raise invalid("filter: at least one field condition must be specified")
    if len(given) > 1 or not set(given) <= {"match", "range"}:
        raise not_served(f"a condition of {' with '.join(sorted(given))}")
    if "match" in given:
        match = _match(mapping(given["match"], "match"))
        return _made(lambda: edge.FieldCondition(key, match=match))
    bounds = mapping(given["range"], "range")
    if unknown := sorted(set(bounds) - {"lt", "lte", "gt", "gte"}):
        raise malformed(f"unknown field `{unknown[0]}` in a range")
    numbers = {k: float(checked(v, k, (int, float))) for k, v in bounds.items() if v is not None}
    return _made(lambda: edge.FieldCondition(key, range=edge.RangeFloat(**numbers)))


def _match(match: dict[str, Any]) -> Any:
    if len(match) != 1:
        raise malformed("match: expected one of value, any, except")
    kind, value = next(iter(match.items()))
    if kind == "value":
        if isinstance(value, bool):
            return edge.MatchValue(_Boolean(value))  # type: ignore[arg-type]
        return edge.MatchValue(_keyword(value))
    if kind in ("any", "except"):
        values = [_keyword(one) for one in checked(value, kind, list)]
        if len({type(one) for one in values}) > 1:
            raise malformed(f"match.{kind}: expected all strings or all integers")
        return edge.MatchAny(values) if kind == "any" else edge.MatchExcept(values)
    raise not_served(f"match.{kind}")


def _keyword(value: Any) -> Any:
    found = checked(value, "match", (str, int))
    if isinstance(found, int) and not -LAST_INTEGER <= found < LAST_INTEGER:
        raise malformed("match: the integer does not fit 64 bits")
    return found


def _made(build: Callable[[], Any]) -> Any:
    """Build a condition; the engine's only objection left is to the key's path."""
    try:
        return build()
    except ValueError as error:
        raise malformed(str(error)) from error
