"""The forms of the answers that Qdrant 1.7 gives, as facts written down here; what clients of it rely on."""

from __future__ import annotations

from typing import Any

import pytest
from standin_process import Answer, Client

# A form: the type of a value, [form of each item], or {field: form}. Every field must be there, and no other.
ID = (int, str)
RECORD = {"id": ID, "payload": dict, "vector": list}
UPDATE = {"operation_id": int, "status": ("acknowledged", "completed")}
ALIASES = {"aliases": [{"alias_name": str, "collection_name": str}]}
SNAPSHOT = {"name": str, "creation_time": str, "size": int}
INFO = {
    "status": ("green", "yellow", "red"),
    "optimizer_status": ("ok",),
    "vectors_count": int,
    "indexed_vectors_count": int,
    "points_count": int,
    "segments_count": int,
    "payload_schema": dict,
    "config": {
        "params": {
            "vectors": {"size": int, "distance": ("Cosine", "Euclid", "Dot", "Manhattan")},
            "shard_number": int,
            "replication_factor": int,
            "write_consistency_factor": int,
            "on_disk_payload": bool,
        },
        "hnsw_config": {"m": int, "ef_construct": int, "full_scan_threshold": int, "max_indexing_threads": int},
        "optimizer_config": {
            "deleted_threshold": float,
            "vacuum_min_vector_number": int,
            "default_segment_number": int,
            "flush_interval_sec": int,
            "max_optimization_threads": int,
        },
        "wal_config": {"wal_capacity_mb": int, "wal_segments_ahead": int},
        "quantization_config": type(None),
    },
}

ALL = {"with_payload": True, "with_vector": True}
POINT = {"id": 1, "vector": [1, 0], "payload": {"n": 1}}
ALIAS = {"create_alias": {"alias_name": "l", "collection_name": "life"}}
# In the order in which they are asked: the later ones need what the earlier ones made. {s} is a snapshot's name.
LIFE: tuple[tuple[str, str, Any, Any], ...] = (
    ("PUT", "/collections/life", {"vectors": {"size": 2, "distance": "Cosine"}}, bool),
    ("PUT", "/collections/life/points?wait=true", {"points": [POINT, {**POINT, "id": 2}]}, UPDATE),
    ("PUT", "/collections/life/points", {"batch": {"ids": [3], "vectors": [[0, 1]], "payloads": [{}]}}, UPDATE),
    ("POST", "/collections/aliases", {"actions": [ALIAS]}, bool),
    ("GET", "/collections", None, {"collections": [{"name": str}]}),
    ("GET", "/collections/life", None, INFO),
    ("GET", "/aliases", None, ALIASES),
    ("GET", "/collections/life/aliases", None, ALIASES),
    ("POST", "/collections/life/points", {"ids": [1, 2], **ALL}, [RECORD]),
    ("GET", "/collections/life/points/1", None, RECORD),
    (
        "POST",
        "/collections/life/points/search",
        {"vector": [1, 0], "limit": 2, **ALL},
        [{**RECORD, "version": int, "score": float}],
    ),
    ("POST", "/collections/life/points/scroll", {"limit": 2, **ALL}, {"points": [RECORD], "next_page_offset": ID}),
    ("POST", "/collections/life/points/count", {}, {"count": int}),
    ("POST", "/collections/life/snapshots", None, SNAPSHOT),
    ("GET", "/collections/life/snapshots", None, [SNAPSHOT]),
    ("PUT", "/collections/copy/snapshots/recover", {"location": "{s}"}, bool),
    ("POST", "/collections/life/points/delete?wait=true", {"points": [1]}, UPDATE),
    ("POST", "/collections/life/points/delete", {"filter": {"must": [{"has_id": [2]}]}}, UPDATE),
    ("DELETE", "/collections/life/snapshots/{s}", None, bool),
    ("DELETE", "/collections/life", None, bool),
)


def differences(form: Any, value: Any, at: str = "result") -> list[str]:
    """Where a value has another form than it should."""
    if isinstance(form, dict):
        if not isinstance(value, dict) or set(form) != set(value):
            return [f"{at}: fields {sorted(form)}, found {sorted(value) if isinstance(value, dict) else value!r}"]
        return [d for key in form for d in differences(form[key], value[key], f"{at}.{key}")]
    if isinstance(form, list):
        if not isinstance(value, list) or not value:
            return [f"{at}: a list with something in it, found {value!r}"]
        return [d for n, one in enumerate(value) for d in differences(form[0], one, f"{at}[{n}]")]
    allowed = form if isinstance(form, tuple) else (form,)
    if any(value == one if isinstance(one, str) else type(value) is one for one in allowed):
        return []
    return [f"{at}: {allowed}, found {value!r}"]


def test_every_answer_has_the_form_that_clients_rely_on(client: Client) -> None:
    found: list[str] = []
    snapshot = ""
    for method, path, body, form in LIFE:
        if isinstance(body, dict) and body.get("location") == "{s}":
            assert client.storage is not None
            body = {"location": (client.storage / "snapshots" / "life" / snapshot).as_uri()}
        answer = client.ask(method, path.replace("{s}", snapshot), body)
        if (method, path) == ("POST", "/collections/life/snapshots"):
            snapshot = answer.result["name"]
        assert set(answer.body) == {"result", "status", "time"} and answer.body["status"] == "ok", answer.raw
        found += [f"{method} {path}: {d}" for d in differences(form, answer.result)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/collections/none", None, 404),
        ("GET", "/collections/here/points/404", None, 404),
        ("GET", "/collections/here/snapshots/none", None, 404),
        ("PUT", "/collections/here", {"vectors": {"size": 2, "distance": "Dot"}}, 400),
        ("PUT", "/collections/zero", {"vectors": {"size": 0, "distance": "Dot"}}, 422),
        ("POST", "/collections/here/points/search", {"vector": [1], "limit": 1}, 400),
        ("POST", "/collections/here/points/search", {"vector": [1, 2], "limit": 0}, 422),
        ("POST", "/collections/here/points/search", b"{", 400),
    ],
)
def test_every_refusal_has_the_status_and_the_form_of_the_real_server(
    client: Client, method: str, path: str, body: Any, status: int
) -> None:
    client.put("/collections/here", {"vectors": {"size": 2, "distance": "Dot"}})
    answer: Answer = client.ask(method, path, body)
    assert answer.status == status and answer.kind == "application/json"
    assert not differences({"status": {"error": str}, "time": float}, answer.body, "body")
