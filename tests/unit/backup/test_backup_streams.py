"""What goes in comes out; what was damaged, cut off or not finished by its producer never counts."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyrage
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_ops.backup.manifest import Part
from cortex_ops.backup.plain import BytesPlain, ProcessSink, ends_with
from cortex_ops.backup.session import Session
from cortex_ops.backup.streams import fetch_part, store_part, verify_part
from cortex_ops.kernel.errors import DeadlineError, InterruptedByUser, OpsError
from cortex_ops.kernel.process import Pipeline, Stage
from cortex_ops.store.local import LocalStore

IDENTITY = pyrage.x25519.Identity.generate()
TO = (str(IDENTITY.to_public()),)
RANDOM = random.Random(5).randbytes(900_000)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path)


def _store(store: LocalStore, data: bytes) -> Part:
    return store_part(store, "a/part", "data", BytesPlain(data), TO)


def _fetch(store: LocalStore, part: Part, identity: Any = IDENTITY) -> bytes:
    out = bytearray()
    fetched = fetch_part(store, part, identity, out.extend)
    assert (fetched.plain, fetched.stored) == (len(out), part.size)
    return bytes(out)


@pytest.mark.parametrize("data", [b"", b"x", b"row\n" * 500_000, RANDOM])
def test_what_goes_in_comes_out(store: LocalStore, data: bytes) -> None:
    part = _store(store, data)
    assert part.plain_size == len(data)
    assert _fetch(store, part) == data
    verify_part(store, part)


@settings(max_examples=50, deadline=None)
@given(chunks=st.lists(st.binary(max_size=4000), max_size=20))
def test_any_sequence_of_chunks_comes_out_joined(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    class Chunks:
        def __init__(self) -> None:
            self.rest = [chunk for chunk in chunks if chunk]

        def read(self, size: int) -> bytes:
            return self.rest.pop(0) if self.rest else b""

    store = LocalStore(tmp_path_factory.mktemp("store"))
    part = store_part(store, "p", "data", Chunks(), TO)
    assert _fetch(store, part) == b"".join(chunks)


def test_what_is_stored_shows_nothing_of_the_content(store: LocalStore) -> None:
    _store(store, b"sentinel value " * 1000)
    assert b"sentinel" not in store.path("a/part").read_bytes()


def test_it_is_an_age_file_around_one_zstd_frame_as_other_programs_expect(store: LocalStore) -> None:
    part = _store(store, b"row\n" * 100_000)
    frame = pyrage.decrypt(store.path(part.key).read_bytes(), [IDENTITY])
    reader = zstandard.ZstdDecompressor().stream_reader(frame)
    assert reader.read() == b"row\n" * 100_000
    assert zstandard.get_frame_parameters(frame).has_checksum


def test_a_part_is_never_overwritten(store: LocalStore) -> None:
    part = _store(store, b"first")
    with pytest.raises(OpsError, match="a/part exists already"):
        _store(store, b"second")
    assert _fetch(store, part) == b"first"


def _damage(store: LocalStore, part: Part, data: bytes) -> None:
    path = store.path(part.key)
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_bit_anywhere_is_found(store: LocalStore, seed: int) -> None:
    part = _store(store, RANDOM[:300_000])
    data = bytearray(store.path(part.key).read_bytes())
    chance = random.Random(seed)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    _damage(store, part, bytes(data))
    for call in (lambda: _fetch(store, part), lambda: verify_part(store, part)):
        with pytest.raises(OpsError, match="a/part is damaged: its sha256 is"):
            call()


@pytest.mark.parametrize("keep", [0, 1, 200, 70_000, -1])
def test_a_truncated_object_is_found(store: LocalStore, keep: int) -> None:
    part = _store(store, RANDOM)
    _damage(store, part, store.path(part.key).read_bytes()[:keep])
    for call in (lambda: _fetch(store, part), lambda: verify_part(store, part)):
        with pytest.raises(OpsError, match=r"a/part is truncated: \d+ bytes, and the manifest says"):
            call()


def test_an_object_that_grew_is_found(store: LocalStore) -> None:
    part = _store(store, b"x")
    _damage(store, part, store.path(part.key).read_bytes() + b"more")
    with pytest.raises(OpsError, match="a/part is longer than it was"):
        _fetch(store, part)


def test_a_missing_object_is_found(store: LocalStore) -> None:
    part = _store(store, b"x")
    store.delete(part.key)
    with pytest.raises(OpsError, match=r"a/part cannot be read: No such file"):
        _fetch(store, part)


def test_bytes_that_are_encrypted_well_but_are_no_dump_are_refused(store: LocalStore) -> None:
    part = _store(store, b"x" * 1000)
    for content, sentence in ((b"no zstd", "cannot be decrypted"), (b"", "holds 0 plain bytes")):
        data = pyrage.encrypt(content, [IDENTITY.to_public()])
        _damage(store, part, data)
        forged = part.model_copy(update={"size": len(data), "sha256": __import__("hashlib").sha256(data).hexdigest()})
        with pytest.raises(OpsError, match=sentence):
            _fetch(store, forged)


def test_an_identity_that_is_no_recipient_is_one_sentence(store: LocalStore) -> None:
    part = _store(store, b"x")
    with pytest.raises(OpsError, match="a/part cannot be decrypted: No matching keys"):
        _fetch(store, part, pyrage.x25519.Identity.generate())


class _Failing:
    def __init__(self, error: BaseException) -> None:
        self.error, self.first = error, True

    def read(self, size: int) -> bytes:
        if self.first:
            self.first = False
            return RANDOM
        raise self.error


@pytest.mark.parametrize("error", [OpsError("pg_dump failed"), InterruptedByUser("told to end"), KeyboardInterrupt()])
def test_a_failing_producer_leaves_nothing_and_its_error_arrives_as_it_is(
    store: LocalStore, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        store_part(store, "a/part", "data", _Failing(error), TO)
    assert caught.value is error
    assert store.list("") == []
    assert list((store.root / ".partial").iterdir()) == []


def test_a_signal_that_strikes_outside_our_callbacks_is_still_an_interruption(store: LocalStore) -> None:
    def encrypt(*_: object) -> None:
        raise pyrage.EncryptError("InterruptedByUser: told to end by SIGTERM")

    with (
        mock.patch("pyrage.encrypt_io", encrypt),
        pytest.raises(InterruptedByUser, match=r"^told to end by SIGTERM$"),
    ):
        store_part(store, "a/part", "data", BytesPlain(RANDOM), TO)
    assert store.list("") == []


def test_a_failing_store_leaves_nothing_and_its_error_arrives_as_it_is(store: LocalStore) -> None:
    full = OpsError("no space left")

    class Full(LocalStore):
        def open_writer(self, key: str) -> Any:
            writer = super().open_writer(key)

            def write(_data: bytes) -> int:
                raise full

            writer.write = write  # type: ignore[method-assign]
            return writer

    with pytest.raises(OpsError) as caught:
        store_part(Full(store.root), "a/part", "data", BytesPlain(RANDOM), TO)
    assert caught.value is full
    assert store.list("") == []


def test_a_failing_taker_is_reported_as_it_is(store: LocalStore) -> None:
    part = _store(store, RANDOM)
    refused = OpsError("psql failed")

    def take(_data: bytes) -> None:
        raise refused

    with pytest.raises(OpsError) as caught:
        fetch_part(store, part, IDENTITY, take)
    assert caught.value is refused


# -- programs on either end --------------------------------------------------------------------------------------

# A stand-in for psql: it answers what a session needs of it, and its shell is a real one with a /tmp of its own.
STAND_IN = r"""
import subprocess, sys
for line in sys.stdin:
    sys.stdout.flush()
    if line.startswith("\\! "):
        subprocess.run(["sh", "-c", line[3:].replace("/tmp/", sys.argv[1] + "/")])
    elif line.startswith("\\echo "):
        print(line[6:].strip(), flush=True)
    elif line.startswith("SELECT "):
        print(line[7:].strip())
    elif line.startswith("FAIL"):
        sys.exit("psql: ERROR:  no such table")
"""


@contextmanager
def a_session(deadline: float = 10.0) -> Iterator[Session]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Pipeline([Stage([sys.executable, "-c", STAND_IN, folder], "the session")], stdin=subprocess.PIPE) as pipeline,
    ):
        yield Session(pipeline, "it", deadline=deadline)


def test_a_session_answers_and_ends() -> None:
    with a_session() as session:
        assert session.ask('SELECT {"a": "b"}') == [{"a": "b"}]
        session.do("SELECT anything")
        assert session.shell("echo x") == b"x\n"
        assert session.ask("SELECT 1") == [1]
        session.close()


def test_a_statement_that_fails_ends_the_session_with_the_servers_words() -> None:
    with (
        a_session() as session,
        pytest.raises(OpsError, match=r"the session failed \(exit 1\): psql: ERROR:  no such"),
    ):
        session.ask("FAIL")


@pytest.mark.parametrize("size", [0, 1, 30, 41, 42, 43, 44, 100, 65_536, 3_000_000])
@pytest.mark.parametrize("chunk", [7, 65_536])
def test_output_of_a_command_arrives_whole_whatever_its_length(size: int, chunk: int) -> None:
    chunk = chunk if size < 1000 else 65_536
    with a_session() as session:
        output, out = session.stream(f"head -c {size} /dev/zero | tr '\\0' '\\n'"), bytearray()
        while data := output.read(chunk):
            assert len(data) <= chunk
            out += data
        assert bytes(out) == b"\n" * size
        assert session.ask("SELECT 2") == [2], "the conversation goes on"


def test_output_counts_when_the_command_ended_well_and_whole() -> None:
    with a_session() as session:
        assert session.shell("printf 'a\\n-- done\\n'", trailer=b"-- done") == b"a\n-- done\n"


@pytest.mark.parametrize(("end", "code"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_output_of_a_command_that_died_never_ends(end: str, code: int) -> None:
    with a_session() as session:
        command = f"sh -c \"printf 'a\\n-- done\\n'; echo 'error: gone' >&2; {end.replace('$', chr(92) + '$')}\""
        with pytest.raises(OpsError, match=rf"sh failed \(exit {code}\): error: gone"):
            session.shell(command, trailer=b"-- done")


def test_output_without_its_trailer_never_ends_though_the_exit_code_is_zero() -> None:
    with a_session() as session, pytest.raises(OpsError, match="printf ended without its last line, '-- done'"):
        session.shell("printf 'a\\n-- do'", trailer=b"-- done")


def test_output_of_a_container_that_died_never_ends() -> None:
    with a_session() as session, pytest.raises(OpsError, match=r"the session failed \(exit -9\)"):
        session.shell("printf 'a\\n-- done\\n'; kill -9 0", trailer=b"-- done")


def test_a_command_that_hangs_meets_its_deadline() -> None:
    began = time.monotonic()
    with a_session(0.7) as session, pytest.raises(DeadlineError, match=r"it did not answer within 0\.7 s"):
        session.shell("echo a; exec sleep 30")
    assert time.monotonic() - began < 6


def test_small_output_that_is_not_small_is_refused() -> None:
    with a_session() as session, pytest.raises(OpsError, match="yes gave more than 1000 bytes"):
        session.shell("yes", limit=1000)


def test_the_trailer_is_seen_over_chunk_borders_and_after_bytes_that_were_given_back() -> None:
    with a_session() as session:
        command = "for c in a b '\\n' - - ' ' d o n e '\\n'; do printf -- $c; sleep 0.01; done"
        output = session.stream(command.replace("' '", "'\\040'"), trailer=b"-- done")
        first = bytes(output.read(2))
        output.push_back(first)
        out = bytearray()
        while data := output.read(100):
            out += data
        assert bytes(out) == b"ab\n-- done\n"


@pytest.mark.parametrize(
    ("tail", "whole"),
    [
        (b"x\n-- done\n", True),
        (b"-- done\n", True),
        (b"x\n--\n-- done\n--\n\n", True),
        (b"x\n--\n-- done\n--\n\n\\unrestrict Ab9\n\n", True),
        (b"x\n-- done\nINSERT", False),
        (b"x -- done\n", False),
        (b"x\n-- don", False),
        (b"", False),
    ],
)
def test_a_trailer_is_a_line_with_nothing_after_it(tail: bytes, whole: bool) -> None:
    assert ends_with(tail, b"-- done") is whole


def test_a_consumer_that_ends_early_is_blamed_with_its_own_words() -> None:
    stage = [Stage(["sh", "-c", "head -c 1 >/dev/null; echo 'ERROR: no such table' >&2; exit 3"], "restoring")]
    with Pipeline(stage, stdin=subprocess.PIPE) as pipeline:
        sink = ProcessSink(pipeline, "it", deadline=10)
        with pytest.raises(OpsError, match=r"restoring failed \(exit 3\): ERROR: no such table"):
            for _ in range(100):
                sink.write(b"x" * 1_000_000)


def test_a_consumer_that_reads_nothing_meets_its_deadline() -> None:
    with Pipeline([Stage(["sleep", "30"], "restoring")], stdin=subprocess.PIPE) as pipeline:
        sink = ProcessSink(pipeline, "it", deadline=0.5)
        with pytest.raises(DeadlineError, match=r"it did not end within 0\.5 s"):
            sink.write(b"x" * 10_000_000)
