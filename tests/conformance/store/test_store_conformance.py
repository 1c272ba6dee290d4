"""What every store promises, asked of each: a folder, S3 (a real server), and what wraps them.

A store that overwrites is asked, too: the probe at start-up must refuse it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cortex_ops.kernel.errors import InputError, OpsError, RefusedError
from cortex_ops.kernel.settings import load_settings
from cortex_ops.kernel.store import StreamStore
from cortex_ops.store import open_store
from cortex_ops.store.local import LocalStore
from cortex_ops.store.probe import probe
from cortex_ops.store.s3 import S3Store
from cortex_ops.store.s3_streams import S3Writer
from cortex_ops.store.wrappers import Prefixed, Retrying
from tests.support.s3 import a_client, credentials, s3_server

MIB = 1024 * 1024
Make = Callable[[], StreamStore]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as url:
        yield url


def _bucket(endpoint: str) -> S3Store:
    client = a_client(endpoint)
    name = f"b-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return S3Store(client, name, endpoint=endpoint)


KINDS = ("folder", "folder, prefixed", "S3", "S3, retrying and prefixed")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path, endpoint: str) -> StreamStore:
    made: dict[str, Make] = {
        "folder": lambda: LocalStore(tmp_path / "store"),
        "folder, prefixed": lambda: Prefixed(LocalStore(tmp_path / "store"), "some/where"),
        "S3": lambda: _bucket(endpoint),
        "S3, retrying and prefixed": lambda: Retrying(Prefixed(_bucket(endpoint), "some/where")),
    }
    return made[request.param]()


def _stream(store: StreamStore, key: str, data: bytes) -> bool:
    with store.open_writer(key) as writer:
        for start in range(0, len(data), 300_000):
            assert writer.write(data[start : start + 300_000]) == len(data[start : start + 300_000])
        return writer.commit()


def _read(store: StreamStore, key: str, chunk: int = 100_000) -> bytes:
    with store.open_reader(key) as reader:
        parts = list(iter(lambda: reader.read(chunk), b""))
        data = b"".join(parts)
        assert reader.size == len(data)
        return data


def test_what_was_written_is_read_and_listed(store: StreamStore) -> None:
    assert store.put_if_absent("a/b/c.json", b"{}")
    assert store.put_if_absent("a/empty", b"")
    assert store.get("a/b/c.json") == b"{}"
    assert store.get("a/empty") == b""
    assert store.list("") == ["a/b/c.json", "a/empty"]


def test_what_is_not_there_is_none(store: StreamStore) -> None:
    assert store.get("a/b") is None
    store.put_if_absent("a/b/c", b"x")
    assert store.get("a/b") is None, "a folder is no object"
    assert store.list("nothing/") == []
    with pytest.raises(OpsError):
        store.open_reader("a/none")


def test_an_object_is_never_overwritten(store: StreamStore) -> None:
    assert store.put_if_absent("k", b"first")
    assert not store.put_if_absent("k", b"second")
    assert not store.put_if_absent("k", b"first"), "equal bytes of another write are another write"
    assert not _stream(store, "k", b"third")
    assert not _stream(store, "k", b"x" * (9 * MIB))
    assert store.get("k") == b"first"


def test_listing_takes_a_prefix_of_any_length_and_sorts(store: StreamStore) -> None:
    for key in ("b/2", "b/10", "ba", "a/1", "b/1/x"):
        store.put_if_absent(key, b"")
    assert store.list("b/") == ["b/1/x", "b/10", "b/2"]
    assert store.list("b") == ["b/1/x", "b/10", "b/2", "ba"]
    assert store.list("b/1") == ["b/1/x", "b/10"]
    assert store.list("c") == []


def test_removal_is_repeatable_and_the_key_is_free_again(store: StreamStore) -> None:
    store.put_if_absent("a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    assert store.get("a/b") is None
    assert store.list("") == []
    assert store.put_if_absent("a/b", b"2")
    assert store.get("a/b") == b"2"


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".hidden", "a\n", "ä", "a b"])
def test_a_key_that_could_leave_the_store_or_hide_in_it_is_refused(store: StreamStore, key: str) -> None:
    for call in (
        lambda: store.get(key),
        lambda: store.put_if_absent(key, b""),
        lambda: store.delete(key),
        lambda: store.open_writer(key),
        lambda: store.open_reader(key),
    ):
        with pytest.raises(InputError):
            call()


def test_a_prefix_that_could_leave_the_store_is_refused(store: StreamStore) -> None:
    for prefix in ("../", "/etc", "a/../../"):
        with pytest.raises(InputError):
            store.list(prefix)


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
def test_a_stream_of_any_size_arrives_whole(store: StreamStore, size: int) -> None:
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert _stream(store, "big", data)
    assert _read(store, "big") == data
    assert store.get("big") == data


def test_a_stream_that_was_not_committed_leaves_nothing(store: StreamStore) -> None:
    with store.open_writer("a/big") as writer:
        writer.write(b"x" * (9 * MIB))
    with pytest.raises(ZeroDivisionError), store.open_writer("a/big") as writer:
        writer.write(b"x" * (9 * MIB))
        raise ZeroDivisionError
    assert store.list("") == []
    assert store.get("a/big") is None
    assert store.reap("a/") == 0, "nothing unfinished is left, not even hidden"
    assert _stream(store, "a/big", b"y")


def test_an_unfinished_stream_is_not_seen(store: StreamStore) -> None:
    with store.open_writer("a") as writer:
        writer.write(b"x" * (9 * MIB))
        assert store.get("a") is None
        assert store.list("") == []
        assert writer.commit()
    assert store.list("") == ["a"]


def test_of_many_who_create_the_same_object_one_wins(store: StreamStore) -> None:
    wins: list[int] = []
    losses: list[int] = []

    def race(number: int) -> None:
        (wins if store.put_if_absent("race", b"%d" % number) else losses).append(number)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(wins), len(losses)) == (1, 7)
    assert store.get("race") == b"%d" % wins[0]


def test_a_lock_is_held_by_one_and_names_its_holder(store: StreamStore) -> None:
    with store.lock("backup-local", holder="run 1", seconds=60):
        with (
            pytest.raises(RefusedError, match=r"backup-local is held by run 1"),
            store.lock("backup-local", holder="run 2", seconds=60),
        ):
            pass
        with store.lock("backup-staging", holder="run 2", seconds=60):
            pass
    for number in range(3):
        with store.lock("backup-local", holder=f"run {number}", seconds=60):
            pass


def test_a_lock_ends_with_its_block_whatever_happened(store: StreamStore) -> None:
    with pytest.raises(ZeroDivisionError), store.lock("x", holder="run 1", seconds=60):
        raise ZeroDivisionError
    with store.lock("x", holder="run 2", seconds=60):
        pass


def test_the_probe_accepts_it_and_leaves_nothing(store: StreamStore) -> None:
    probe(store, "the store")
    assert store.list("") == []


class Overwriting(LocalStore):
    """A store that is broken on purpose: creation replaces what is there."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self.delete(key)
        return super().put_if_absent(key, data)


class Forgetful(LocalStore):
    """A store that is broken on purpose: it says that it wrote."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return super().get(key) is None


@pytest.mark.parametrize("broken", [Overwriting, Forgetful])
def test_the_probe_refuses_a_store_that_overwrites_or_forgets(broken: type[LocalStore], tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="the store overwrites objects that exist"):
        probe(broken(tmp_path), "the store")


def _ignore_conditions(client: Any, *operations: str) -> None:
    """Make a server behave like those that do not know `If-None-Match`: the header does not reach it."""

    def drop(request: Any, **_: Any) -> None:
        del request.headers["If-None-Match"]

    for operation in operations:
        client.meta.events.register(f"before-sign.s3.{operation}", drop)


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
def test_the_probe_refuses_an_s3_server_that_ignores_conditions(endpoint: str, operation: str) -> None:
    store = _bucket(endpoint)
    _ignore_conditions(store.client, operation)
    with pytest.raises(OpsError, match="overwrites objects that exist"):
        probe(store, "the bucket", writer=lambda key: S3Writer(store, key, upload=True))


def test_settings_open_a_bucket_and_a_missing_one_is_one_sentence(endpoint: str, tmp_path: Path) -> None:
    a_client(endpoint).create_bucket(Bucket="from-settings")
    env = {
        "CORTEX_OPS_PROJECT": str(tmp_path),
        "CORTEX_OPS_STORE": "s3://from-settings/cortex",
        "CORTEX_OPS_S3_ENDPOINT": endpoint,
        "CORTEX_OPS_S3_PATH_STYLE": "true",
    }
    with credentials():
        store = open_store(load_settings(env))
        assert store.put_if_absent("a", b"1")
        assert store.list("") == ["a"]
        with pytest.raises(OpsError, match=r"s3://none at http://127.0.0.1:\d+: writing .* failed: NoSuchBucket"):
            open_store(load_settings({**env, "CORTEX_OPS_STORE": "s3://none"}))
