"""Folders for as long as a step takes, and what killed processes left of them."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.files import scratch
from cortex_ops.kernel.process import process_start


def test_it_is_there_for_the_block_and_gone_afterwards_also_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(ValueError), scratch(tmp_path / "new") as folder:
        (folder / "file").write_text("1")
        raise ValueError
    assert list((tmp_path / "new").iterdir()) == []


def test_what_the_dead_left_goes_and_what_the_living_use_stays(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as living:
        try:
            since = process_start(living.pid)
            dead = {f"{living.pid}-1-reused", "999999999-1-gone", "unknown"}
            for name in (f"{living.pid}-{since}-theirs", *dead):
                (tmp_path / name).mkdir()
            with scratch(tmp_path) as first, scratch(tmp_path) as second:
                assert {path.name for path in tmp_path.iterdir()} == {
                    *(first.name, second.name, f"{living.pid}-{since}-theirs")
                }
        finally:
            living.kill()


def test_a_full_disk_is_one_sentence_and_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=f"no space left on the disk that holds {tmp_path}"), scratch(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), scratch(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
