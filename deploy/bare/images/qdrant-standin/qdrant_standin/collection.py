"""One collection: an edge shard on disk and the calls on it. Names, aliases and snapshots are elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as edge

from qdrant_standin.errors import (
    Refused,
    at_least,
    malformed,
    mapping,
    needed,
    not_found,
    only,
    optional,
    wrong_input,
)
from qdrant_standin.filters import make_filter
from qdrant_standin.values import (
    limit_of,
    numbers,
    plain_id,
    point_id,
    points_of,
    record,
    vector_sizes,
    with_payload,
    with_vector,
)

Result = TypeVar("Result")


class Collection:
    """Calls are serialised by `lock`. `config` is {"vectors": …, "shard": name of the shard's folder}."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, create: bool) -> None:
        self.folder, self.config = folder, dict(config)
        self.lock = threading.RLock()
        self.operations = 0
        self.closed = False
        self.sizes = vector_sizes(config)
        shard = self.shard_folder
        if create:
            shard.mkdir(parents=True)
            self.shard = edge.EdgeShard.create(
                str(shard), edge.EdgeConfig(vectors=_engine_vectors(config["vectors"]))
            )
            self.shard.flush()
        else:
            self.shard = edge.EdgeShard.load(str(shard))

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def shard_folder(self) -> Path:
        return self.folder / str(self.config.get("shard", "shard"))

    def upsert(self, body: Mapping[str, Any], wait: bool) -> dict[str, Any]:
        return self._change(edge.UpdateOperation.upsert_points(points_of(body, self.sizes)), wait)

    def delete(self, body: Mapping[str, Any], wait: bool) -> dict[str, Any]:
        only(body, ("points", "filter"), "a deletion")
        if "points" in body:
            ids = [point_id(one) for one in needed(body, "points", list)]
            return self._change(edge.UpdateOperation.delete_points(ids), wait)
        if "filter" in body:
            chosen = make_filter(mapping(body["filter"], "filter"))
            return self._change(edge.UpdateOperation.delete_points_by_filter(chosen), wait)
        raise malformed("expected `points` or `filter`")

    def _change(self, operation: Any, wait: bool) -> dict[str, Any]:
        """With `wait` the change is on the disk when this returns; without, in the write-ahead log."""

        def change(shard: Any) -> int:
            shard.update(operation)
            if wait:
                shard.flush()
            self.operations += 1
            return self.operations - 1

        return {"operation_id": self._ask(change), "status": "completed" if wait else "acknowledged"}

    def search(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        served = [
            "vector",
            "filter",
            "limit",
            "top",
            "offset",
            "with_payload",
            "with_vector",
            "score_threshold",
            "params",
        ]
        only(body, served, "a search")
        vector, using = needed(body, "vector", (list, dict)), None
        if isinstance(vector, dict):
            using, vector = needed(vector, "name", str), needed(vector, "vector", (list, dict))
        params = optional(body, "params", dict, {})
        only(params, ("hnsw_ef", "exact", "indexed_only"), "search params")
        request = edge.SearchRequest(
            edge.Query.Nearest(numbers(vector, using or "", self.sizes), using),
            limit_of(body, None),
            offset=at_least(optional(body, "offset", int, 0), 0, "offset"),
            filter=make_filter(body.get("filter")),
            params=edge.SearchParams(
                hnsw_ef=optional(params, "hnsw_ef", int, None),
                exact=optional(params, "exact", bool, False),
                indexed_only=optional(params, "indexed_only", bool, False),
            ),
            with_payload=with_payload(body, False),
            with_vector=with_vector(body),
            score_threshold=optional(body, "score_threshold", (int, float), None),
        )
        found = self._ask(lambda shard: shard.search(request))
        return [{**record(point), "version": point.version, "score": point.score} for point in found]

    def scroll(self, body: Mapping[str, Any]) -> dict[str, Any]:
        only(body, ("offset", "limit", "filter", "with_payload", "with_vector"), "a scroll")
        request = edge.ScrollRequest(
            offset=None if body.get("offset") is None else point_id(body["offset"]),
            limit=limit_of(body, 10),
            filter=make_filter(body.get("filter")),
            with_payload=with_payload(body, True),
            with_vector=with_vector(body),
        )
        points, following = self._ask(lambda shard: shard.scroll(request))
        return {"points": [record(point) for point in points], "next_page_offset": plain_id(following)}

    def retrieve(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        only(body, ("ids", "with_payload", "with_vector"), "a retrieval")
        ids = [point_id(one) for one in needed(body, "ids", list)]
        payload, vector = with_payload(body, True), with_vector(body)
        return [record(point) for point in self._ask(lambda shard: shard.retrieve(ids, payload, vector))]

    def one(self, number: Any) -> dict[str, Any]:
        found = self._ask(lambda shard: shard.retrieve([number], True, True))
        if not found:
            raise not_found(f"Point with id {plain_id(number)} does not exists!")
        return record(found[0])

    def count(self, body: Mapping[str, Any]) -> int:
        only(body, ("filter", "exact"), "a count")
        request = edge.CountRequest(exact=optional(body, "exact", bool, True), filter=make_filter(body.get("filter")))
        return int(self._ask(lambda shard: shard.count(request)))

    def info(self) -> tuple[int, int, int]:
        """(points, segments, indexed vectors) as the engine counts them."""
        found = self._ask(lambda shard: shard.info())
        return found.points_count, found.segments_count, found.indexed_vectors_count

    def flush(self) -> None:
        self._ask(lambda shard: shard.flush())

    def _ask(self, call: Callable[[Any], Result]) -> Result:
        with self.lock:
            if self.closed:  # it was dropped between finding it and asking it
                raise not_found(f"Collection `{self.name}` doesn't exist!")
            try:
                return call(self.shard)
            except Exception as error:
                text = str(error)
                if text.startswith("Service runtime error"):
                    raise Refused(500, text.replace("Service runtime error", "Service internal error", 1)) from error
                raise wrong_input(text) from error

    def close(self) -> None:
        """Flush and give up the files; later calls answer that there is no such collection."""
        with self.lock:
            if not self.closed:
                self.closed = True
                self.shard.flush()
                self.shard.close()


def _engine_vectors(vectors: Mapping[str, Any]) -> Any:
    named = {"": vectors} if "size" in vectors else vectors
    return {
        name: edge.EdgeVectorParams(
            size=one["size"], distance=getattr(edge.Distance, one["distance"]), on_disk=one.get("on_disk")
        )
        for name, one in named.items()
    }
