"""A run's events are written without a disk flush each, and are there for the next process."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from cortex_ops.defs.event_log import _ease


def write(path: Path, value: int) -> int:
    """As Dagster does it: a connection for each event. Returns SQLite's `synchronous` of that connection."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    _ease(connection, None)
    connection.execute("CREATE TABLE IF NOT EXISTS events (value)")
    connection.execute("INSERT INTO events VALUES (?)", (value,))
    connection.commit()
    (found,) = connection.execute("PRAGMA synchronous").fetchone()
    connection.close()
    return int(found)


def test_connections_flush_rarely_and_the_log_is_not_folded_in_at_each_close(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    assert [write(path, n) for n in range(3)] == [1, 1, 1]  # 1 is NORMAL
    assert path.with_name("events.db-wal").stat().st_size > 0
    other = sqlite3.connect(path)
    assert other.execute("SELECT value FROM events ORDER BY value").fetchall() == [(0,), (1,), (2,)]
    other.close()


def test_another_kind_of_database_is_left_as_it_is() -> None:
    class Postgres:
        def execute(self, *_args: object) -> None:
            raise AssertionError("asked")

    _ease(Postgres(), None)
