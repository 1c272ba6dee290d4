"""Collections on disk: one edge shard each, its configuration beside it. Knows nothing of HTTP.

A stand-in: Qdrant's own shard engine (qdrant-edge) does the storing and searching; what is served around it is
the part of the server that Cortex-OS uses.
"""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any

import qdrant_edge as edge

DISTANCES = ("Cosine", "Euclid", "Dot", "Manhattan")


class Refused(Exception):
    """`status` is the HTTP status that the real server answers with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Collection:
    """One shard. Calls are serialised: the engine's own handle is not shared between threads."""

    def __init__(self, folder: Path, params: dict[str, Any]) -> None:
        self.folder, self.params = folder, params
        self.lock = threading.RLock()
        vectors = params["vectors"]
        named = vectors if "size" not in vectors else {"": vectors}
        config = edge.EdgeConfig(
            vectors={
                name: edge.EdgeVectorParams(size=v["size"], distance=getattr(edge.Distance, v["distance"]))
                for name, v in named.items()
            }
        )
        shard = folder / "shard"
        if shard.is_dir() and any(shard.iterdir()):
            self.shard = edge.EdgeShard.load(str(shard))
        else:
            shard.mkdir(parents=True, exist_ok=True)
            self.shard = edge.EdgeShard.create(str(shard), config)

    def upsert(self, points: list[dict[str, Any]]) -> None:
        made = [edge.Point(point_id(p["id"]), p["vector"], p.get("payload") or {}) for p in points]
        self._change(edge.UpdateOperation.upsert_points(made))

    def delete(self, body: dict[str, Any]) -> None:
        if "points" in body:
            self._change(edge.UpdateOperation.delete_points([point_id(i) for i in body["points"]]))
        elif "filter" in body:
            self._change(edge.UpdateOperation.delete_points_by_filter(make_filter(body["filter"])))
        else:
            raise Refused(400, "points or filter is needed")

    def _change(self, operation: Any) -> None:
        with self.lock:
            try:
                self.shard.update(operation)
                self.shard.flush()
            except Exception as error:
                raise Refused(400, f"Wrong input: {error}") from error

    def search(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        vector, using = body["vector"], None
        if isinstance(vector, dict):
            using, vector = vector["name"], vector["vector"]
        request = edge.SearchRequest(
            edge.Query.Nearest(vector, using),
            int(body.get("limit", 10)),
            offset=int(body.get("offset") or 0),
            filter=make_filter(body.get("filter")),
            with_payload=bool(body.get("with_payload", False)),
            with_vector=bool(body.get("with_vector", False)),
            score_threshold=body.get("score_threshold"),
        )
        with self.lock:
            found = self._ask(self.shard.search, request)
        return [{**_record(p, body), "version": p.version, "score": p.score} for p in found]

    def scroll(self, body: dict[str, Any]) -> dict[str, Any]:
        limit = int(body.get("limit") or 10)
        request = edge.ScrollRequest(
            offset=point_id(body["offset"]) if body.get("offset") is not None else None,
            limit=limit,
            filter=make_filter(body.get("filter")),
            with_payload=bool(body.get("with_payload", True)),
            with_vector=bool(body.get("with_vector", False)),
        )
        with self.lock:
            points, following = self._ask(self.shard.scroll, request)
        defaults = {"with_payload": True, **body}
        return {"points": [_record(p, defaults) for p in points], "next_page_offset": _plain_id(following)}

    def retrieve(self, ids: list[Any], with_payload: bool, with_vector: bool) -> list[dict[str, Any]]:
        with self.lock:
            found = self._ask(self.shard.retrieve, [point_id(i) for i in ids], with_payload, with_vector)
        wanted = {"with_payload": with_payload, "with_vector": with_vector}
        return [_record(p, wanted) for p in found]

    def count(self, body: dict[str, Any]) -> int:
        with self.lock:
            request = edge.CountRequest(bool(body.get("exact", True)), make_filter(body.get("filter")))
            return int(self._ask(self.shard.count, request))

    def _ask(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except Exception as error:
            raise Refused(400, f"Wrong input: {error}") from error

    def close(self) -> None:
        with self.lock:
            self.shard.flush()
            self.shard.close()


class Storage:
    """All collections and aliases below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.root.mkdir(parents=True, exist_ok=True)
        self.aliases: dict[str, str] = _load(self.root / "aliases.json") or {}
        self.collections: dict[str, Collection] = {}
        for path in sorted((self.root / "collections").glob("*/config.json")):
            self.collections[path.parent.name] = Collection(path.parent, _load(path))

    def get(self, name: str) -> Collection:
        with self.lock:
            found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return found

    def create(self, name: str, body: dict[str, Any]) -> None:
        vectors = body.get("vectors")
        if not isinstance(vectors, dict) or not vectors:
            raise Refused(400, "vectors is needed")
        for one in [vectors] if "size" in vectors else vectors.values():
            if not isinstance(one.get("size"), int) or one["size"] < 1 or one.get("distance") not in DISTANCES:
                raise Refused(422, f"size and a distance of {', '.join(DISTANCES)} are needed")
        if not name or "/" in name or name.startswith("."):
            raise Refused(422, f"{name!r} is no name of a collection")
        with self.lock:
            if name in self.collections:
                raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
            folder = self.root / "collections" / name
            self.collections[name] = Collection(folder, {"vectors": vectors})
            _save(folder / "config.json", {"vectors": vectors})

    def drop(self, name: str) -> bool:
        with self.lock:
            found = self.collections.pop(name, None)
            if found is None:
                return False
            found.close()
            (found.folder / "config.json").unlink()
            shutil.rmtree(found.folder)
            self.aliases = {a: c for a, c in self.aliases.items() if c != name}
            _save(self.root / "aliases.json", self.aliases)
            return True

    def change_aliases(self, actions: list[dict[str, Any]]) -> None:
        with self.lock:
            changed = dict(self.aliases)
            for action in actions:
                if "create_alias" in action:
                    one = action["create_alias"]
                    self.get(one["collection_name"])
                    changed[one["alias_name"]] = one["collection_name"]
                elif "delete_alias" in action:
                    changed.pop(action["delete_alias"]["alias_name"], None)
                elif "rename_alias" in action:
                    one = action["rename_alias"]
                    changed[one["new_alias_name"]] = changed.pop(one["old_alias_name"])
                else:
                    raise Refused(400, "an unknown alias action")
            self.aliases = changed
            _save(self.root / "aliases.json", changed)

    def close(self) -> None:
        for one in self.collections.values():
            one.close()


def point_id(value: Any) -> Any:
    """Points are numbered or have a UUID; anything else the real server refuses too."""
    if isinstance(value, int) and value >= 0:
        return value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        raise Refused(400, f"value {value!r} is not a valid point ID") from None


def _plain_id(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else str(value)


def _record(point: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"id": _plain_id(point.id)}
    out["payload"] = point.payload if wanted.get("with_payload") else None
    out["vector"] = point.vector if wanted.get("with_vector") else None
    return out


def make_filter(body: dict[str, Any] | None) -> Any:
    if not body:
        return None
    parts: dict[str, Any] = {}
    for kind in ("must", "should", "must_not"):
        items = body.get(kind)
        if items:
            parts[kind] = [_condition(item) for item in (items if isinstance(items, list) else [items])]
    unknown = set(body) - {"must", "should", "must_not"}
    if unknown:
        raise Refused(501, f"the stand-in has no filter clause {sorted(unknown)[0]}")
    return edge.Filter(**parts)


def _condition(item: dict[str, Any]) -> Any:
    if "has_id" in item:
        return edge.HasIdCondition({point_id(i) for i in item["has_id"]})
    if any(k in item for k in ("must", "should", "must_not")):
        return make_filter(item)
    if "match" in item:
        match = item["match"]
        if "value" in match:
            return edge.FieldCondition(item["key"], match=edge.MatchValue(match["value"]))
        if "any" in match:
            return edge.FieldCondition(item["key"], match=edge.MatchAny(match["any"]))
        if "except" in match:
            return edge.FieldCondition(item["key"], match=edge.MatchExcept(match["except"]))
    if "range" in item:
        bounds = {k: v for k, v in item["range"].items() if v is not None}
        return edge.FieldCondition(item["key"], range=edge.RangeFloat(**bounds))
    raise Refused(501, f"the stand-in has no condition {sorted(item)}")


def _load(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


def _save(path: Path, value: Any) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value))
    partial.rename(path)
