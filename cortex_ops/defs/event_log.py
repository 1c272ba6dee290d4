"""Dagster's SQLite files without two disk flushes per event, which took as long as the work of a no-op release.

In WAL mode `synchronous=NORMAL` survives the death of the process. The loss of power may take the last events, which
are a record for people: what is live is in the store. Dagster closes each connection at once, and SQLite folds the
log in when the last one closes, so one stays open for as long as the run.
"""

from __future__ import annotations

import sqlite3

_open: dict[str, sqlite3.Connection] = {}


def flush_rarely() -> None:
    """For processes that execute one run and end. Any other kind of database is left as it is."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "connect", _ease)


def _ease(connection: object, _record: object) -> None:
    if not isinstance(connection, sqlite3.Connection):
        return
    connection.execute("PRAGMA synchronous=NORMAL")
    path = str(connection.execute("PRAGMA database_list").fetchone()[2] or "")
    if path and path not in _open:
        _open[path] = sqlite3.connect(path, check_same_thread=False)
        _open[path].execute("SELECT count(*) FROM sqlite_master").fetchone()
