"""Collections, points, filters and aliases of the stand-in: what an application sees."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from standin_process import Client

UUID = str(uuid.UUID(int=77))


@pytest.fixture(scope="module")
def cities(client: Client) -> Client:
    """Collection `cities`: five points whose payloads differ in kind."""
    client.create("cities", size=2)
    client.upsert(
        "cities",
        (1, [1.0, 0.0], {"city": "Berlin", "people": 3_600_000, "sea": False, "tags": ["big", "old"]}),
        (2, [0.8, 0.2], {"city": "Lisbon", "people": 545_000, "sea": True, "tags": ["old"]}),
        (3, [0.0, 1.0], {"city": "Oslo", "people": 709_000, "sea": True, "area": {"km2": 454.5}}),
        (UUID, [0.5, 0.5], {"city": None, "sea": 1}),
        (5, [-1.0, 0.0], {}),
    )
    return client


def field(key: str, **condition: Any) -> dict[str, Any]:
    return {"key": key, **condition}


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"must": [field("city", match={"value": "Oslo"})]}, [3]),
        ({"must": [field("people", match={"value": 545_000})]}, [2]),
        ({"must": [field("tags", match={"value": "old"})]}, [1, 2]),
        ({"must": [field("city", match={"any": ["Oslo", "Berlin"]})]}, [1, 3]),
        ({"must": [field("people", match={"any": []})]}, []),
        ({"must": [field("city", match={"except": ["Oslo", "Berlin"]})]}, [2]),
        ({"must": [field("people", range={"gte": 545_000, "lt": 3_600_000})]}, [2, 3]),
        ({"must": [field("area.km2", range={"gt": 454, "lte": 454.5})]}, [3]),
        ({"must_not": [field("sea", match={"value": True})]}, [1, 5, UUID]),
        ({"should": [field("city", match={"value": "Oslo"}), field("city", match={"value": "Lisbon"})]}, [2, 3]),
        ({"must": [{"should": [field("city", match={"value": "Oslo"})]}], "must_not": [{"has_id": [3]}]}, []),
        ({"must": [{"has_id": [5, UUID]}]}, [5, UUID]),
        ({"must": [{"is_empty": {"key": "people"}}]}, [5, UUID]),
        ({"must": [{"is_null": {"key": "city"}}]}, [UUID]),
        ({}, [1, 2, 3, 5, UUID]),
    ],
)
def test_a_filter_chooses_what_it_says(cities: Client, chosen: Any, expected: list[Any]) -> None:
    assert cities.ids("cities", chosen) == expected
    assert cities.post("/collections/cities/points/count", {"filter": chosen}).result == {"count": len(expected)}


def test_true_is_not_one_in_a_filter(cities: Client) -> None:
    assert cities.ids("cities", {"must": [field("sea", match={"value": True})]}) == [2, 3]
    assert cities.ids("cities", {"must": [field("sea", match={"value": False})]}) == [1]
    assert cities.ids("cities", {"must": [field("sea", match={"value": 1})]}) == [UUID]


def test_a_search_ranks_filters_and_returns_what_was_asked_for(cities: Client) -> None:
    path, ask = "/collections/cities/points/search", {"vector": [1.0, 0.0], "limit": 2}
    plain = cities.post(path, ask).result
    assert [(p["id"], p["score"], p["payload"], p["vector"]) for p in plain] == [
        (1, 1.0, None, None),
        (2, pytest.approx(0.8), None, None),
    ]
    seaside = cities.post(path, {**ask, "filter": {"must": [field("sea", match={"value": True})]}}).result
    assert [p["id"] for p in seaside] == [2, 3]
    full = cities.post(path, {**ask, "with_payload": ["city"], "with_vector": True, "offset": 1}).result
    assert [(p["id"], p["payload"]) for p in full] == [(2, {"city": "Lisbon"}), (UUID, {"city": None})]
    assert full[0]["vector"] == pytest.approx([0.8, 0.2])
    rest = cities.post(path, {**ask, "with_payload": {"exclude": ["city", "tags"]}, "score_threshold": 0.9}).result
    assert [p["payload"] for p in rest] == [{"people": 3_600_000, "sea": False}]


def test_points_are_read_by_id_and_page_by_page(cities: Client) -> None:
    assert cities.get("/collections/cities/points/3").result["payload"]["city"] == "Oslo"
    assert cities.get(f"/collections/cities/points/{UUID}").result["vector"] == [0.5, 0.5]
    assert "Point with id 99 does not exists" in cities.get("/collections/cities/points/99").error
    several = cities.post("/collections/cities/points", {"ids": [5, 99, 1], "with_payload": False}).result
    assert sorted(p["id"] for p in several) == [1, 5] and all(p["payload"] is None for p in several)
    seen, offset = [], None
    while True:
        page = cities.post("/collections/cities/points/scroll", {"limit": 2, "offset": offset}).result
        seen += [p["id"] for p in page["points"]]
        if (offset := page["next_page_offset"]) is None:
            break
    assert seen == [1, 2, 3, 5, UUID]


def test_upserts_replace_and_deletions_delete_by_id_or_filter(client: Client) -> None:
    client.create("changing")
    client.upsert("changing", (1, [1, 0, 0], {"n": 1}), (2, [0, 1, 0], {"n": 2}), (3, [0, 0, 1], {"n": 3}))
    client.upsert("changing", (1, [0, 0, 1], {"other": True}))
    changed = client.get("/collections/changing/points/1").result
    assert (changed["vector"], changed["payload"]) == ([0.0, 0.0, 1.0], {"other": True})
    assert (
        client.post("/collections/changing/points/delete?wait=true", {"points": [2, 99]}).result["operation_id"] == 2
    )
    chosen = {"must": [field("n", range={"gte": 3})]}
    assert client.post("/collections/changing/points/delete", {"filter": chosen}).result["status"] == "acknowledged"
    assert client.ids("changing") == [1]
    columns = {"ids": [7, UUID], "vectors": [[1, 1, 1], [2, 2, 2]], "payloads": [{"row": 1}, None]}
    assert client.put("/collections/changing/points?wait=true", {"batch": columns}).result["status"] == "completed"
    assert client.ids("changing") == [1, 7, UUID]
    assert client.get("/collections/changing").result["points_count"] == 3


def test_a_request_with_one_bad_point_writes_none_of_them(client: Client) -> None:
    client.create("whole")
    good = {"id": 1, "vector": [1, 0, 0]}
    for bad in (
        {"id": 2, "vector": [1, 0]},
        {"id": 2, "vector": {"other": [1, 0, 0]}},
        {"id": 2, "vector": [1, 0, 1e39]},
        {"id": 2, "vector": [1, 0, True]},
        {"id": 2, "vector": [1, 0, "x"]},
        {"id": 2, "vector": [1, 0, 0], "payload": [1]},
        {"id": -1, "vector": [1, 0, 0]},
        {"id": "two", "vector": [1, 0, 0]},
        {"id": True, "vector": [1, 0, 0]},
        {"id": 2**64, "vector": [1, 0, 0]},
        {"id": 2},
    ):
        answer = client.put("/collections/whole/points?wait=true", {"points": [good, bad]})
        assert (answer.status, bool(answer.error)) == (400, True), bad
    assert client.post("/collections/whole/points/count", {}).result == {"count": 0}


def test_named_vectors_are_searched_by_their_name(client: Client) -> None:
    vectors = {"text": {"size": 2, "distance": "Cosine"}, "image": {"size": 3, "distance": "Euclid"}}
    assert client.put("/collections/named", {"vectors": vectors}).result is True
    points = [
        {"id": 1, "vector": {"text": [1, 0], "image": [0, 0, 0]}},
        {"id": 2, "vector": {"text": [0, 1]}},
    ]
    client.put("/collections/named/points?wait=true", {"points": points})
    query = {"vector": {"name": "image", "vector": [0, 0, 2]}, "limit": 5}
    assert [(p["id"], p["score"]) for p in client.post("/collections/named/points/search", query).result] == [
        (1, 2.0)
    ]
    without = client.post("/collections/named/points/search", {"vector": [0, 1], "limit": 5})
    assert without.status == 400 and "Not existing vector name" in without.error


def test_a_collection_exists_until_it_is_deleted(client: Client) -> None:
    assert client.get("/collections/brief").status == 404
    client.create("brief", size=4, distance="Cosine")
    again = client.put("/collections/brief", {"vectors": {"size": 4, "distance": "Cosine"}})
    assert (again.status, again.error) == (400, "Wrong input: Collection `brief` already exists!")
    assert client.get("/collections/brief").result["config"]["params"]["vectors"] == {"size": 4, "distance": "Cosine"}
    assert {"name": "brief"} in client.get("/collections").result["collections"]
    assert client.delete("/collections/brief").result is True
    assert client.delete("/collections/brief").result is False
    assert client.post("/collections/brief/points/count", {}).status == 404


def test_aliases_change_all_together_and_go_with_their_collection(client: Client) -> None:
    def change(*actions: Any) -> Any:
        return client.post("/collections/aliases", {"actions": list(actions)})

    def make(alias: str, collection: str) -> dict[str, Any]:
        return {"create_alias": {"alias_name": alias, "collection_name": collection}}

    client.create("blue")
    client.create("green")
    client.upsert("green", (1, [1, 0, 0], {}))
    assert change(make("live", "blue")).result is True
    assert client.ids("live") == []
    refused = change({"delete_alias": {"alias_name": "live"}}, make("live", "nowhere"))
    assert refused.status == 404 and client.ids("live") == []
    assert change({"delete_alias": {"alias_name": "live"}}, make("live", "green")).result is True
    assert client.ids("live") == [1]
    assert change({"rename_alias": {"old_alias_name": "live", "new_alias_name": "current"}}).result is True
    expected = {"alias_name": "current", "collection_name": "green"}
    assert client.get("/collections/green/aliases").result == {"aliases": [expected]}
    assert client.get("/collections/blue/aliases").result == {"aliases": []}
    assert expected in client.get("/aliases").result["aliases"]
    assert change(make("blue", "green")).status == 400
    assert client.put("/collections/current", {"vectors": {"size": 1, "distance": "Dot"}}).status == 400
    client.delete("/collections/green")
    assert client.get("/aliases").result == {"aliases": []} and client.get("/collections/current").status == 404


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/metrics", None),
        ("GET", "/cluster", None),
        ("GET", "/collections/cities/exists", None),
        ("POST", "/snapshots", None),
        ("PUT", "/collections/cities/index", {"field_name": "city", "field_schema": "keyword"}),
        ("POST", "/collections/cities/points/recommend", {"positive": [1], "limit": 1}),
        ("POST", "/collections/cities/points/payload", {"payload": {}, "points": [1]}),
        ("PUT", "/collections/new", {"vectors": {"size": 2, "distance": "Dot"}, "hnsw_config": {"m": 32}}),
        ("PUT", "/collections/new", {"vectors": {"size": 2, "distance": "Dot"}, "shard_number": 2}),
        ("PUT", "/collections/new", {"vectors": {"size": 2, "distance": "Dot"}, "sparse_vectors": {"s": {}}}),
        ("POST", "/collections/cities/points/scroll", {"filter": {"must": [field("city", match={"text": "o"})]}}),
        ("POST", "/collections/cities/points/scroll", {"order_by": "people"}),
        ("PATCH", "/collections/cities", {}),
    ],
)
def test_what_is_not_served_says_so(cities: Client, method: str, path: str, body: Any) -> None:
    answer = cities.ask(method, path, body)
    assert answer.status == 501 and "stand-in" in answer.error and "does not serve" in answer.error
    assert cities.get("/collections/new").status == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/points/search", b"{", 400),
        ("/points/search", b"\xff", 400),
        ("/points/search", b"[]", 400),
        ("/points/search", b"[" * 100_000, 400),
        ("/points/search", b'{"vector": [NaN, 0], "limit": 1}', 400),
        ("/points/search", {"vector": [1, 0, 0], "limit": 1}, 400),
        ("/points/search", {"vector": [1, 0]}, 400),
        ("/points/search", {"vector": [1, 0], "limit": 0}, 422),
        ("/points/search", {"vector": [1, 0], "limit": True}, 400),
        ("/points/search", {"vector": [1, 0], "limit": 1, "offset": -1}, 422),
        ("/points/scroll", {"filter": {"musn't": []}}, 400),
        ("/points/scroll", {"filter": {"must": [{"key": "a"}]}}, 422),
        ("/points/scroll", {"filter": {"must": [field("a[", match={"value": 1})]}}, 400),
        ("/points/scroll", {"filter": {"must": [field("a", match={"value": 1.5})]}}, 400),
        ("/points/scroll", {"filter": {"must": [field("a", match={"any": [1, "a"]})]}}, 400),
        ("/points/scroll", {"filter": {"must": [field("a", match={"value": 2**63})]}}, 400),
        ("/points/scroll", {"filter": {"must": [field("a", range={"over": 1})]}}, 400),
        ("/points/delete", {}, 400),
        ("/points/delete", {"filter": None}, 400),
        ("/points", {"ids": "1"}, 400),
    ],
)
def test_bad_input_is_refused_with_a_reason_and_changes_nothing(
    cities: Client, path: str, body: Any, status: int
) -> None:
    answer = cities.post("/collections/cities" + path, body)
    assert answer.status == status, answer.raw
    assert answer.error and "Traceback" not in answer.error
    assert cities.ids("cities") == [1, 2, 3, 5, UUID]


@pytest.mark.parametrize("name", ["%2e%2e", ".hidden", "a%2Fb", "a%00b", "x" * 256])
def test_a_name_never_leaves_the_storage_folder(client: Client, name: str) -> None:
    answer = client.put(f"/collections/{name}", {"vectors": {"size": 2, "distance": "Dot"}})
    assert answer.status == 422 and "cannot be a name" in answer.error


def test_payloads_come_back_as_they_were_given(client: Client) -> None:
    payload = {"text": "ü\u2028\\ 𝄞", "deep": {"a": [1, [2.5, None], {"b": False}]}, "big": 2**53, "": "", "no": -1}
    client.create("kept")
    client.upsert("kept", (2**64 - 1, [1, 2, 3], payload))
    assert json.loads(client.get(f"/collections/kept/points/{2**64 - 1}").raw)["result"]["payload"] == payload
