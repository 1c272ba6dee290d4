"""How a request is refused, and the small checks of a request's shape. Knows nothing of HTTP but the status."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from qdrant_standin import NAME


class Refused(Exception):
    """`status` is the HTTP status that the real server answers with; `message` becomes `status.error`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def wrong_input(message: str) -> Refused:
    return Refused(400, f"Wrong input: {message}")


def malformed(message: str) -> Refused:
    return Refused(400, f"Format error in JSON body: {message}")


def invalid(message: str) -> Refused:
    return Refused(422, f"Validation error in JSON body: [{message}]")


def not_found(message: str) -> Refused:
    return Refused(404, f"Not found: {message}")


def not_served(what: str) -> Refused:
    """What the real server does and this one does not: never a silent approximation."""
    return Refused(501, f"{NAME} does not serve {what}")


def mapping(value: Any, what: str = "the body") -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(f"{what}: expected an object")
    return value


def needed(body: Mapping[str, Any], key: str, kind: type | tuple[type, ...]) -> Any:
    """`body[key]`, which must be there and of this kind (a boolean is never a number)."""
    if key not in body:
        raise malformed(f"missing field `{key}`")
    return checked(body[key], key, kind)


def optional(body: Mapping[str, Any], key: str, kind: type | tuple[type, ...], default: Any) -> Any:
    """`body[key]` of this kind, or the default where it is absent or null."""
    return default if body.get(key) is None else checked(body[key], key, kind)


def checked(value: Any, what: str, kind: type | tuple[type, ...]) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise malformed(f"{what}: expected {' or '.join(k.__name__ for k in kinds)}, found {type(value).__name__}")
    return value


def at_least(value: int, least: int, what: str) -> int:
    if value < least:
        raise invalid(f"{what}: value {value} invalid, must be {least} or larger")
    return value


def only(body: Mapping[str, Any], served: Collection[str], where: str) -> None:
    """Refuse fields that would change the answer and are not served; null means absent."""
    for key, value in body.items():
        if value is not None and key not in served:
            raise not_served(f"`{key}` in {where}")
