"""Snapshots of the stand-in: what comes back, what is refused, and that a refusal changes nothing."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standin_process import SOURCE, Client, Standin


def filled(client: Client, name: str) -> bytes:
    """A collection whose points were each written several times, and a snapshot of it."""
    client.create(name)
    for turn in range(5):
        client.upsert(name, (1, [1, 0, 0], {"turn": turn}), (2, [0, 1, 0], {"turn": turn}))
    made = client.post(f"/collections/{name}/snapshots").result
    found = client.get(f"/collections/{name}/snapshots/{made['name']}")
    assert (found.status, found.kind, len(found.raw)) == (200, "application/octet-stream", made["size"])
    return found.raw


def turns(client: Client, name: str) -> dict[Any, Any]:
    found = client.post(f"/collections/{name}/points/scroll", {"limit": 100}).result["points"]
    return {point["id"]: point["payload"]["turn"] for point in found}


def test_a_snapshot_brings_back_its_moment_and_the_collection_can_be_changed_again(client: Client) -> None:
    data = filled(client, "moment")
    client.upsert("moment", (1, [0, 0, 1], {"turn": "later"}), (3, [0, 0, 1], {"turn": "later"}))
    assert client.upload("moment", data).result is True
    assert turns(client, "moment") == {1: 4, 2: 4}
    # A shard that forgot its count of operations would ignore both of these without a word.
    client.upsert("moment", (1, [0, 0, 1], {"turn": "again"}))
    client.post("/collections/moment/points/delete?wait=true", {"points": [2]})
    assert turns(client, "moment") == {1: "again"}


def test_a_lost_collection_is_made_again_from_an_upload_or_from_the_servers_own_file(
    standin: Callable[..., Standin],
) -> None:
    one = standin()
    client = one.start()
    data = filled(client, "lost")
    info = client.get("/collections/lost").result
    client.delete("/collections/lost")
    assert client.upload("lost", data, "?priority=snapshot").result is True
    assert client.get("/collections/lost").result == info
    (name,) = (found["name"] for found in client.get("/collections/lost/snapshots").result)
    location = (one.storage / "snapshots" / "lost" / name).as_uri()
    assert client.put("/collections/copy/snapshots/recover", {"location": location}).result is True
    one.end()
    client = one.start()
    assert turns(client, "lost") == turns(client, "copy") == {1: 4, 2: 4}
    client.upsert("copy", (1, [0, 0, 1], {"turn": "own"}))
    assert turns(client, "lost") == {1: 4, 2: 4}


def test_snapshots_are_listed_and_deleted_and_accepted_without_waiting(client: Client) -> None:
    client.create("several")
    first = client.post("/collections/several/snapshots").result
    assert client.ask("POST", "/collections/several/snapshots?wait=false").status == 202
    names = [found["name"] for found in client.get("/collections/several/snapshots").result]
    assert len(names) == 2 and first["name"] in names
    path = f"/collections/several/snapshots/{first['name']}"
    assert client.delete(path).result is True
    assert client.delete(path).status == client.get(path).status == 404
    assert client.post("/collections/nowhere/snapshots").status == 404
    assert client.get("/collections/several/snapshots/%2e%2e%2f%2e%2e%2faliases.json").status == 404


def rewritten(data: bytes, change: Callable[[Path], object]) -> bytes:
    """The archive again, after a change of its unpacked files. GNU tar, as the files are mostly holes."""
    with tempfile.TemporaryDirectory() as work:
        folder, target = Path(work) / "unpacked", Path(work) / "again"
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(folder, filter="data")
        change(folder)
        names = [path.name for path in folder.iterdir()]
        command = ["tar", "--create", "--sparse", "--format=gnu", f"--file={target}", "-C", str(folder), *names]
        subprocess.run(command, check=True, timeout=30)
        return target.read_bytes()


def reaching_outside(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("../../escaped"))
    return out.getvalue()[:512] + data


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "no archive": lambda data: b"not a snapshot" * 1000,
    "cut": lambda data: data[: len(data) // 2],
    "a real server's": lambda data: rewritten(data, lambda f: (f / "collection.json").unlink()),
    "without its log": lambda data: rewritten(data, lambda f: shutil.rmtree(f / "wal")),
    "without its segments": lambda data: rewritten(data, lambda f: shutil.rmtree(f / "segments")),
    "with a link": lambda data: rewritten(data, lambda f: (f / "segments" / "x").symlink_to("/etc")),
    "reaching outside": reaching_outside,
}


@pytest.fixture(scope="module")
def safe(client: Client) -> bytes:
    """Collection `safe`, changed after its snapshot."""
    data = filled(client, "safe")
    client.upsert("safe", (3, [0, 0, 1], {"turn": "kept"}))
    return data


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_snapshot_is_refused_and_the_collection_stays(client: Client, safe: bytes, how: str) -> None:
    for name in ("safe", "new"):
        answer = client.upload(name, BROKEN[how](safe))
        assert answer.status == 400 and answer.error, answer.raw
    assert turns(client, "safe") == {1: 4, 2: 4, 3: "kept"}
    assert client.get("/collections/new").status == 404
    assert client.storage is not None
    assert not list(client.storage.rglob(".partial-*")) and not list(client.storage.parent.rglob("escaped"))


def test_a_snapshot_that_was_only_packed_again_is_not_broken(client: Client, safe: bytes) -> None:
    assert client.upload("packed", rewritten(safe, lambda folder: None)).result is True
    assert turns(client, "packed") == {1: 4, 2: 4}


def test_a_snapshot_of_other_vectors_is_not_compatible(client: Client) -> None:
    data = filled(client, "three")
    client.create("four", size=4)
    answer = client.upload("four", data)
    assert answer.status == 400 and "not compatible" in answer.error
    assert client.get("/collections/four").result["config"]["params"]["vectors"]["size"] == 4


@pytest.mark.parametrize(
    ("location", "status"),
    [
        ("file:///etc/passwd", 400),
        ("file:///nowhere.snapshot", 400),
        ("relative", 400),
        ("http://127.0.0.1:1/x", 501),
        (7, 400),
    ],
)
def test_only_its_own_files_are_recovered_from(client: Client, location: Any, status: int) -> None:
    answer = client.put("/collections/any/snapshots/recover", {"location": location})
    assert answer.status == status and answer.error
    assert client.get("/collections/any").status == 404


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_an_upload_is_found_in_its_body_however_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.syspath_prepend(str(SOURCE))
    from qdrant_standin.multipart import Parts

    content = b"\r\n--edg\r\n--\r\n" * 9 + b"\x00\xff--edge"
    body = (
        b"preamble\r\n--edge\r\ncontent-disposition: form-data; name=other\r\n\r\nno\r\n--edge\r\n"
        b'Content-Disposition: form-data; name="snapshot"; filename="a;b"\r\ncontent-type: x\r\n\r\n'
        + content
        + b"\r\n--edge--\r\n"
    )
    stream = io.BytesIO(body)
    Parts(lambda limit: stream.read(min(limit, chunk)), b"edge").save("snapshot", tmp_path / "found")
    assert (tmp_path / "found").read_bytes() == content


def test_an_upload_without_a_snapshot_in_it_is_refused(client: Client) -> None:
    kind = {"content-type": "multipart/form-data; boundary=edge"}
    path = "/collections/any/snapshots/upload"
    other = b'--edge\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--edge--\r\n'
    for body, headers in ((other, kind), (other[:-12], kind), (b"", kind), (other, {"content-type": "text/plain"})):
        answer = client.ask("POST", path, body, headers)
        assert answer.status == 400 and answer.error
