"""Dagster's own databases may be damaged; what is live does not depend on them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from deploy.setup.__main__ import set_aside_damaged


def test_a_home_whose_database_is_none_is_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / ".dagster" / "history" / "runs.db"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("garbage")
    set_aside_damaged(tmp_path / ".dagster")
    (aside,) = tmp_path.iterdir()
    assert (aside / "history" / "runs.db").read_text() == "garbage"
    said = "".join(capsys.readouterr())
    assert ".dagster/history/runs.db is no database" in said and str(aside) in said


def test_a_whole_home_and_none_stay_as_they_are(tmp_path: Path) -> None:
    home = tmp_path / ".dagster"
    set_aside_damaged(home)
    home.mkdir()
    with sqlite3.connect(home / "runs.db") as base:
        base.execute("create table runs (id text)")
    (home / "new.db").touch()
    set_aside_damaged(home)
    assert sorted(path.name for path in home.iterdir()) == ["new.db", "runs.db"]
