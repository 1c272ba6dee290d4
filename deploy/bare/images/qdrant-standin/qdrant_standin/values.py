"""Between JSON and the engine's values: point ids, vectors, what to return with a point. Holds no state."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from typing import Any

import qdrant_edge as edge

from qdrant_standin.errors import at_least, checked, malformed, mapping, needed, not_served, only, wrong_input

LARGEST = 3.4028234663852886e38  # of the engine's 32-bit floats
LAST_ID = 2**64 - 1


def point_id(value: Any) -> Any:
    """An unsigned 64-bit number or a UUID; anything else the real server refuses too."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST_ID:
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value)
        except ValueError:
            pass
    raise malformed(f"value {value!r} is not a valid point ID, valid values are either an unsigned integer or a UUID")


def id_in_path(text: str) -> Any:
    return point_id(int(text) if text.isascii() and text.isdigit() else text)


def plain_id(value: Any) -> int | str | None:
    return value if value is None or isinstance(value, int) else str(value)


def vector_sizes(params: Mapping[str, Any]) -> dict[str, int]:
    """Name → number of components; the only vector of an unnamed collection is called ""."""
    vectors = params["vectors"]
    named = {"": vectors} if "size" in vectors else vectors
    return {name: one["size"] for name, one in named.items()}


def checked_vector(value: Any, sizes: Mapping[str, int]) -> Any:
    """One point's vector or named vectors. Checked here, before any point of a request is written: the engine
    finds a wrong size only when it gets there, with the points before it already stored."""
    if isinstance(value, dict):
        return {name: numbers(one, name, sizes) for name, one in value.items()}
    return numbers(value, "", sizes)


def numbers(value: Any, name: str, sizes: Mapping[str, int]) -> list[float]:
    if isinstance(value, dict):
        raise not_served("sparse vectors")
    found = checked(value, "vector", list)
    for one in found:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise malformed(f"vector: expected a number, found {type(one).__name__}")
        if not math.isfinite(one) or abs(one) > LARGEST:
            raise malformed("vector: a component does not fit a 32-bit float")
    if name not in sizes:
        raise wrong_input(f"Not existing vector name error: {name}")
    if len(found) != sizes[name]:
        raise wrong_input(f"Vector dimension error: expected dim: {sizes[name]}, got {len(found)}")
    return [float(one) for one in found]


def points_of(body: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Any]:
    """Both forms of an upsert: `points`, one object each, and `batch`, one list per field."""
    only(body, ("points", "batch"), "an upsert")
    if "batch" in body:
        return [_point(one, sizes) for one in _rows(mapping(body["batch"], "batch"))]
    return [_point(mapping(one, "points"), sizes) for one in needed(body, "points", list)]


def _point(one: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    if "id" not in one or "vector" not in one:
        raise malformed("a point has an `id` and a `vector`")
    payload = one.get("payload")
    checked_payload = mapping(payload, "payload") if payload is not None else {}
    return edge.Point(point_id(one["id"]), checked_vector(one["vector"], sizes), checked_payload)


def _rows(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    ids = needed(batch, "ids", list)
    vectors = needed(batch, "vectors", (list, dict))
    columns = list(vectors.values()) if isinstance(vectors, dict) else [vectors]
    payloads = batch.get("payloads") or [None] * len(ids)
    if any(not isinstance(column, list) or len(column) != len(ids) for column in [*columns, payloads]):
        raise invalid_batch(len(ids))
    if isinstance(vectors, dict):
        whole: list[Any] = [{name: vectors[name][i] for name in vectors} for i in range(len(ids))]
    else:
        whole = vectors
    return [{"id": i, "vector": v, "payload": p} for i, v, p in zip(ids, whole, payloads, strict=True)]


def invalid_batch(expected: int) -> Exception:
    return wrong_input(f"a batch of {expected} ids needs as many vectors and payloads")


def with_payload(body: Mapping[str, Any], default: bool) -> Any:
    """What the engine takes for `with_payload`: a boolean, the keys to include, or a selector."""
    wanted = body.get("with_payload")
    if wanted is None:
        return default
    if isinstance(wanted, dict) and len(wanted) == 1:
        if "include" in wanted:
            return _keys(wanted["include"])
        if "exclude" in wanted:
            return edge.PayloadSelector.Exclude(_keys(wanted["exclude"]))
    return wanted if isinstance(wanted, bool) else _keys(wanted)


def with_vector(body: Mapping[str, Any]) -> Any:
    wanted = body.get("with_vector")
    if wanted is None:
        return False
    return wanted if isinstance(wanted, bool) else _keys(wanted, "with_vector")


def _keys(value: Any, what: str = "with_payload") -> list[str]:
    return [checked(one, what, str) for one in checked(value, what, list)]


def limit_of(body: Mapping[str, Any], default: int | None) -> int:
    value = body.get("limit", body.get("top"))
    if value is None:
        if default is None:
            raise malformed("missing field `limit`")
        return default
    return at_least(checked(value, "limit", int), 1, "limit")


def record(point: Any) -> dict[str, Any]:
    """A stored point as the contract has it; what was not asked for is null."""
    return {"id": plain_id(point.id), "payload": point.payload, "vector": point.vector}
