"""Migration folders say what they hold, or are refused with the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex_ops.kernel.errors import InputError
from cortex_ops.release.migrations import read_migrations


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.sql").write_text(text)
    return folder


def test_head_and_newest_breaking_are_read(tmp_path: Path) -> None:
    write(tmp_path, **{"0001_a": "-- compatible\n", "0002_b": "-- breaking\n", "0003_c": "-- Compatible\n"})
    found = read_migrations(tmp_path)
    assert (found.head, found.breaking) == (3, 2)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"0001_a": "select 1"}, "expected `-- compatible` or `-- breaking`"),
        ({"1_a": "-- compatible"}, "named NNNN_words.sql"),
        ({"0001_a": "-- compatible", "0003_c": "-- compatible"}, "migration 0002 is missing"),
        ({"0001_a": "-- compatible", "0001_b": "-- compatible"}, "also taken by 0001_a"),
    ],
)
def test_a_folder_that_leaves_doubt_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_migrations(write(tmp_path, **files))


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of migrations"):
        read_migrations(tmp_path / "none")
