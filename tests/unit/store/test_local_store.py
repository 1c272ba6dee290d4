"""What only the folder store can show: durability order, full disks, writers that died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import OpsError
from cortex_ops.store import local
from cortex_ops.store.local import LocalStore


def test_an_object_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def note(name: str, real):  # type: ignore[no-untyped-def]
        def call(*args, **kwargs):  # type: ignore[no-untyped-def]
            calls.append(name)
            return real(*args, **kwargs)

        return call

    store = LocalStore(tmp_path)
    store.put_if_absent("a/first", b"1")
    monkeypatch.setattr(local.os, "fsync", note("fsync", os.fsync))
    monkeypatch.setattr(local.os, "link", note("link", os.link))
    monkeypatch.setattr(local, "sync_folder", note("sync folder", local.sync_folder))
    store.put_if_absent("a/second", b"2")
    assert calls[:2] == ["fsync", "link"]
    assert "sync folder" in calls[2:]


def test_a_full_disk_is_said_in_its_own_words_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local.os, "write", full)
    with pytest.raises(OpsError, match=f"no space left on the disk that holds {tmp_path}/a"):
        store.put_if_absent("a/b", b"data")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OpsError, match=r"file/store/a cannot be written: Not a directory"):
        LocalStore(tmp_path / "file" / "store").put_if_absent("a", b"")


def test_only_writers_that_died_are_reaped(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    script = (
        "import sys, time; from pathlib import Path; from cortex_ops.store.local import LocalStore\n"
        "w = LocalStore(Path(sys.argv[1])).open_writer('a/dead'); w.write(b'x' * 1000); print('on', flush=True)\n"
        "time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    with store.open_writer("a/living") as writer:
        writer.write(b"y")
        assert store.reap("") == 0, "both are being written"
        child.send_signal(signal.SIGKILL)
        child.wait()
        said: list[str] = []
        assert store.reap("", say=said.append) == 1
        assert "dead" in said[0]
        assert writer.commit()
    child.stdout.close()
    assert store.list("") == ["a/living"]


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from cortex_ops.store.local import LocalStore\n"
        "with LocalStore(Path(sys.argv[1])).lock('x', holder='run 1', seconds=9999):\n"
        "    print('on', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(OpsError, match="x is held by run 1"), LocalStore(tmp_path).lock("x", holder="2"):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with LocalStore(tmp_path).lock("x", holder="2"):
        pass


def test_a_writer_whose_hidden_file_was_reaped_in_between_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = local.fcntl.flock, []

    def reaped_first(handle: int, how: int) -> None:
        if not taken:
            taken.append(next((tmp_path / local.PARTIAL).iterdir()))
            taken[0].unlink()
        real(handle, how)

    monkeypatch.setattr(local.fcntl, "flock", reaped_first)
    with LocalStore(tmp_path).open_writer("a") as writer:
        writer.write(b"1")
        assert writer.commit()
    assert LocalStore(tmp_path).get("a") == b"1"


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_if_absent("a", b"x" * 1000)
    with store.open_reader("a") as reader:
        assert len(reader.read(100)) == 100
        os.truncate(store.path("a"), 100)
        with pytest.raises(OpsError, match="became shorter"):
            reader.read(100)


def test_reading_a_thousand_keys_is_not_slow(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number in range(200):
        (tmp_path / f"d{number}").mkdir()
        for name in range(5):
            (tmp_path / f"d{number}" / str(name)).write_bytes(b"")
    began = time.monotonic()
    assert len(store.list("")) == 1000
    assert time.monotonic() - began < 1
