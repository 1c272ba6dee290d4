"""The routes: which call of the contract is which call of the storage. Knows requests and answers, not sockets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdrant_standin import NAME, VERSION
from qdrant_standin.collection import Collection
from qdrant_standin.errors import malformed, mapping, needed, not_served, only, optional, wrong_input
from qdrant_standin.snapshots import Snapshots
from qdrant_standin.storage import Storage
from qdrant_standin.values import id_in_path

PRIORITIES = ("no_sync", "snapshot", "replica")


@dataclass(frozen=True)
class Request:
    """`path` holds the values of the route's placeholders; `json` and `upload` read the body, once."""

    query: Mapping[str, str]
    json: Callable[[], Any]
    upload: Callable[[Path], None]
    path: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        return mapping(self.json())

    def flag(self, name: str, default: bool) -> bool:
        value = self.query.get(name)
        if value not in (None, "true", "false"):
            raise wrong_input(f"{name}={value}: provided string was not `true` or `false`")
        return default if value is None else value == "true"


@dataclass(frozen=True)
class Bare:
    """An answer without the envelope: a document."""

    document: Any


@dataclass(frozen=True)
class Download:
    path: Path


class Accepted:
    """The answer to a caller who does not wait. The work is done all the same: there is no queue here."""


class Api:
    """Finds the route, calls it. Raises `Refused`."""

    def __init__(self, storage: Storage, snapshots: Snapshots) -> None:
        self.storage, self.snapshots = storage, snapshots
        c, p = "/collections/{c}", "/collections/{c}/points"
        self.routes: list[tuple[str, list[str], Callable[[Request], Any]]] = [
            (method, path.strip("/").split("/"), call)
            for method, path, call in (
                ("GET", "/", lambda r: Bare({"title": NAME, "version": VERSION})),
                ("GET", "/collections", self.list_collections),
                ("POST", "/collections/aliases", self.change_aliases),
                ("GET", "/aliases", lambda r: self.aliases_of(None)),
                ("GET", c, lambda r: describe(self.at(r))),
                ("PUT", c, self.create),
                ("DELETE", c, lambda r: self.storage.drop(r.path["c"])),
                ("GET", c + "/aliases", lambda r: self.aliases_of(self.at(r).name)),
                ("PUT", p, lambda r: self.at(r).upsert(r.body, r.flag("wait", False))),
                ("POST", p, lambda r: self.at(r).retrieve(r.body)),
                ("GET", p + "/{id}", lambda r: self.at(r).one(id_in_path(r.path["id"]))),
                ("POST", p + "/delete", lambda r: self.at(r).delete(r.body, r.flag("wait", False))),
                ("POST", p + "/search", lambda r: self.at(r).search(r.body)),
                ("POST", p + "/scroll", lambda r: self.at(r).scroll(r.body)),
                ("POST", p + "/count", lambda r: {"count": self.at(r).count(r.body)}),
                ("GET", c + "/snapshots", lambda r: self.snapshots.list(r.path["c"])),
                ("POST", c + "/snapshots", lambda r: _unless_waited(r, self.snapshots.make(r.path["c"]))),
                ("POST", c + "/snapshots/upload", self.upload),
                ("PUT", c + "/snapshots/recover", self.recover),
                ("GET", c + "/snapshots/{s}", lambda r: Download(self.snapshots.path(r.path["c"], r.path["s"]))),
                ("DELETE", c + "/snapshots/{s}", self.delete_snapshot),
            )
        ]

    def answer(self, method: str, parts: list[str], request: Request) -> Any:
        for known, pattern, call in self.routes:
            if known == method and (values := _values(pattern, parts)) is not None:
                return call(Request(request.query, request.json, request.upload, values))
        raise not_served(f"{method} /{'/'.join(parts)}")

    def at(self, request: Request) -> Collection:
        return self.storage.get(request.path["c"])

    def list_collections(self, _: Request) -> Any:
        with self.storage.lock:
            return {"collections": [{"name": name} for name in sorted(self.storage.collections)]}

    def create(self, request: Request) -> bool:
        self.storage.create(request.path["c"], request.body)
        return True

    def change_aliases(self, request: Request) -> bool:
        self.storage.change_aliases(needed(request.body, "actions", list))
        return True

    def aliases_of(self, collection: str | None) -> Any:
        found = sorted(self.storage.aliases.items())
        chosen = [{"alias_name": a, "collection_name": c} for a, c in found if collection in (None, c)]
        return {"aliases": chosen}

    def upload(self, request: Request) -> Any:
        _priority(request.query.get("priority"))
        with self.storage.work_folder() as work:
            archive = Path(work) / "upload"
            request.upload(archive)
            return _unless_waited(request, self.snapshots.recover(request.path["c"], archive))

    def recover(self, request: Request) -> Any:
        body = request.body
        only(body, ("location", "priority"), "a recovery")
        _priority(optional(body, "priority", str, None))
        archive = self.snapshots.at(needed(body, "location", str))
        return _unless_waited(request, self.snapshots.recover(request.path["c"], archive))

    def delete_snapshot(self, request: Request) -> Any:
        return _unless_waited(request, self.snapshots.delete(request.path["c"], request.path["s"]))


def _values(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    """The placeholders' values where the path has this pattern."""
    if len(pattern) != len(parts):
        return None
    values = {}
    for expected, given in zip(pattern, parts, strict=True):
        if expected.startswith("{"):
            values[expected[1:-1]] = given
        elif expected != given:
            return None
    return values


def _unless_waited(request: Request, result: Any) -> Any:
    return result if request.flag("wait", True) else Accepted()


def _priority(value: str | None) -> None:
    """With one node there is nothing to prefer: all of them mean what the snapshot holds."""
    if value is not None and value not in PRIORITIES:
        raise malformed(f"unknown variant `{value}`, expected one of {', '.join(PRIORITIES)}")


def describe(collection: Collection) -> dict[str, Any]:
    """Counts are the engine's. Tuning has the values of a default server, which nothing here lets one change."""
    points, segments, indexed = collection.info()
    return {
        "status": "green",
        "optimizer_status": "ok",
        "vectors_count": points * len(collection.sizes),
        "indexed_vectors_count": indexed,
        "points_count": points,
        "segments_count": segments,
        "config": {
            "params": {
                "vectors": collection.config["vectors"],
                "shard_number": 1,
                "replication_factor": 1,
                "write_consistency_factor": 1,
                "on_disk_payload": False,
            },
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0},
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
                "max_optimization_threads": 1,
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            "quantization_config": None,
        },
        "payload_schema": {},
    }
