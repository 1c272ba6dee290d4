"""The stand-in as a process: its key, its settings, its data over restarts and kills, its end."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from standin_process import Client, Standin

KEY = "a key/with+odd=characters"
Make = Callable[..., Standin]


def configured(make: Make, folder: Path, text: str, **environment: str) -> Standin:
    file = folder / "qdrant.yaml"
    file.write_text(text)
    one = make(**environment)
    one.arguments = ("--config-path", str(file))
    return one


@pytest.mark.parametrize("place", ["environment", "file"])
def test_only_the_right_key_opens_anything_but_the_health_checks(standin: Make, tmp_path: Path, place: str) -> None:
    if place == "file":
        one = configured(standin, tmp_path, f"service:\n  api_key: {json.dumps(KEY)}\n")
    else:
        one = standin(QDRANT__SERVICE__API_KEY=KEY)
    client = one.start()
    for path in ("/healthz", "/livez", "/readyz"):
        assert client.get(path).status == 200
    for given in (
        {},
        {"api-key": ""},
        {"api-key": KEY[:-1]},
        {"api-key": KEY + "x"},
        {"authorization": f"Bearer {KEY}"},
    ):
        for method, path in (
            ("GET", "/"),
            ("GET", "/collections"),
            ("PUT", "/collections/c"),
            ("GET", "/healthz/.."),
        ):
            answer = client.ask(method, path, None, given)
            assert (answer.status, answer.raw) == (403, b"Invalid api-key")
    client.headers = {"api-key": KEY}
    client.create("c")
    code, errors = one.end()
    assert (code, errors) == (0, "")


def test_it_says_at_its_root_that_it_is_a_stand_in(client: Client) -> None:
    answer = client.get("/")
    assert answer.status == 200 and answer.body["title"] == "qdrant - stand-in (qdrant-edge)"
    assert answer.body["version"].startswith("1.7.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("service:\n  api_key: 12345\n", "service.api_key: expected text"),
        ('service:\n  api_key: ""\n', "service.api_key: expected text"),
        ("service: [sentinel\n", "is no YAML"),
        ("sentinel\n", "expected sections"),
        ("service:\n  enable_tls: true\n", "service.enable_tls"),
        ("service:\n  read_only_api_key: sentinel\n", "service.read_only_api_key"),
        (None, "cannot be read"),
    ],
)
def test_settings_that_would_weaken_it_stop_the_start(
    standin: Make, tmp_path: Path, text: str | None, reason: str
) -> None:
    one = configured(standin, tmp_path, text or "")
    if text is None:
        (tmp_path / "qdrant.yaml").unlink()
    output, errors = one.spawn().communicate(timeout=20)
    assert one.process is not None and one.process.returncode == 2
    assert reason in errors and len(errors.splitlines()) == 1
    assert "sentinel" not in output + errors
    one.process = None


def test_an_empty_key_in_the_environment_does_not_open_it(standin: Make, tmp_path: Path) -> None:
    one = configured(standin, tmp_path, "service:\n  api_key: secret\n", QDRANT__SERVICE__API_KEY="")
    _, errors = one.spawn().communicate(timeout=20)
    assert one.process is not None and one.process.returncode == 2 and "api_key" in errors
    one.process = None


def test_everything_survives_an_orderly_restart(standin: Make) -> None:
    one = standin()
    client = one.start()
    client.create("kept", distance="Cosine")
    client.create("dropped")
    client.upsert("kept", (1, [1, 0, 0], {"a": 1}), (2, [0, 1, 0], {"a": 2}))
    client.post("/collections/kept/points/delete", {"points": [2]})
    alias = {"create_alias": {"alias_name": "also", "collection_name": "kept"}}
    client.post("/collections/aliases", {"actions": [alias]})
    client.delete("/collections/dropped")
    before = client.get("/collections/kept").result
    assert one.end() == (0, "")
    client = one.start()
    assert client.get("/collections").result == {"collections": [{"name": "kept"}]}
    assert client.get("/collections/kept").result == before
    assert client.get("/collections/also/points/1").result["payload"] == {"a": 1}
    client.upsert("kept", (1, [1, 0, 0], {"a": "changed"}))
    assert client.get("/collections/kept/points/1").result["payload"] == {"a": "changed"}


def test_what_was_answered_survives_a_kill_in_the_middle_of_writing(standin: Make) -> None:
    one = standin()
    client = one.start()
    client.create("written")
    answered: list[int] = []

    def write() -> None:
        for number in range(100_000):
            point = {"id": number, "vector": [1, 0, 0], "payload": {"n": number}}
            wait = "true" if number % 2 else "false"
            try:
                client.put(f"/collections/written/points?wait={wait}", {"points": [point]})
            except OSError:
                return
            answered.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    while len(answered) < 30 and writer.is_alive():
        writer.join(0.01)
    one.end(signal.SIGKILL)
    writer.join(30)
    client = one.start()
    found = client.ids("written", {"must": [{"has_id": answered}]})
    assert len(answered) >= 30 and found == answered
    client.upsert("written", (0, [0, 1, 0], {"n": "after"}))
    assert client.get("/collections/written/points/0").result["payload"] == {"n": "after"}


def test_a_request_that_had_begun_is_answered_before_the_end(standin: Make) -> None:
    one = standin()
    one.start().create("late")
    body = json.dumps({"points": [{"id": 1, "vector": [1, 0, 0]}]}).encode()
    head = f"PUT /collections/late/points?wait=true HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    assert one.process is not None
    with socket.create_connection(("127.0.0.1", one.port), timeout=20) as connection:
        connection.sendall(head.encode() + body[:10])
        # A whole answer on another connection: the first request has been accepted by then.
        assert Client(one.port).get("/healthz").status == 200
        one.process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError):
            for _ in range(2000):
                Client(one.port).get("/healthz")
        connection.sendall(body[10:])
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer.lower() and b'"completed"' in answer
    assert one.process.wait(20) == 0
    one.process = None
    assert one.start().ids("late") == [1]


def test_leftovers_of_a_crash_are_removed_and_nothing_else(standin: Make) -> None:
    one = standin()
    client = one.start()
    client.create("whole")
    client.upsert("whole", (1, [1, 0, 0], {}))
    one.end()
    collections = one.storage / "collections"
    for leftover in ("half-made/shard", "whole/shard-0badc0de", "../.partial-x", "../snapshots/.partial-y"):
        (collections / leftover / "segments").mkdir(parents=True)
    client = one.start()
    assert client.ids("whole") == [1]
    client.create("half-made")
    assert client.ids("half-made") == []
    assert not (collections / "whole" / "shard-0badc0de").exists()
    assert not list(one.storage.rglob(".partial-*"))


@pytest.mark.parametrize("harm", ["in use", "a real server's", "shard lost", "configuration lost its vectors"])
def test_a_storage_that_it_cannot_serve_is_left_as_it_is(standin: Make, harm: str) -> None:
    first = standin()
    first.start().create("c")
    if harm != "in use":
        first.end()
    if harm == "a real server's":
        (first.storage / "raft_state.json").write_text("{}")
    elif harm == "shard lost":
        (first.storage / "collections/c/shard").rename(first.storage / "elsewhere")
    elif harm == "configuration lost its vectors":
        (first.storage / "collections/c/config.json").write_text('{"params": {}}')
    second = standin(first.storage)
    _, errors = second.spawn().communicate(timeout=20)
    assert second.process is not None and second.process.returncode == 2
    second.process = None
    assert str(first.storage) in errors and len(errors.splitlines()) == 1
    assert (first.storage / "collections/c/config.json").is_file()


def test_a_port_in_use_is_one_clear_sentence(standin: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = standin(QDRANT__SERVICE__HTTP_PORT=str(taken.getsockname()[1]))
        _, errors = one.spawn().communicate(timeout=20)
    assert one.process is not None and one.process.returncode == 2
    one.process = None
    port = one.environment["QDRANT__SERVICE__HTTP_PORT"]
    assert errors == f"qdrant stand-in: port {port}: Address already in use\n"


def test_one_connection_serves_many_requests_also_after_errors(client: Client) -> None:
    bodies = (b'{"vectors": {"size": 1, "distance": "Dot"}}', b"{", b'{"vectors": 1}')
    with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
        reader = connection.makefile("rb")
        for number, (path, body) in enumerate(
            [("/nowhere", b"unread " * 999), *[("/collections/k", b) for b in bodies]]
        ):
            connection.sendall(
                f"PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
            )
            status = int(reader.readline().split()[1])
            assert status == (501, 200, 400, 400)[number]
            headers = dict(line.lower().split(b": ", 1) for line in iter(reader.readline, b"\r\n"))
            reader.read(int(headers[b"content-length"]))


def test_a_body_that_is_too_large_or_of_unknown_length_is_refused(client: Client) -> None:
    def ask(headers: str) -> bytes:
        with socket.create_connection(("127.0.0.1", client.port), timeout=20) as connection:
            connection.sendall(f"PUT /collections/k/points HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n".encode())
            answer = b""
            while data := connection.recv(65536):
                answer += data
        return answer

    client.put("/collections/k", {"vectors": {"size": 1, "distance": "Dot"}})
    assert ask("content-length: 33554433").startswith(b"HTTP/1.1 400")
    assert ask("transfer-encoding: chunked").startswith(b"HTTP/1.1 411")
    assert ask("content-length: -5").startswith(b"HTTP/1.1 411")


def test_many_clients_at_once_lose_nothing(client: Client) -> None:
    client.create("shared")
    failed: list[object] = []

    def work(number: int) -> None:
        mine = Client(client.port)
        try:
            for step in range(10):
                mine.upsert("shared", (number * 100 + step, [1, 0, 0], {"by": number}))
                chosen = {"must": [{"key": "by", "match": {"value": number}}]}
                found = mine.post("/collections/shared/points/count", {"filter": chosen}).result["count"]
                assert found == step + 1
        except BaseException as error:
            failed.append(error)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for one in workers:
        one.start()
    for one in workers:
        one.join(60)
    assert not failed and client.post("/collections/shared/points/count", {}).result["count"] == 80
