"""Dagster's SQLite files for a process that executes one run: opened once, and flushed as WAL needs it.

Dagster opens a new engine for every event, compiles each statement again, and asks for the table of tags each time:
7 ms for each of the 140 events of a no-op release, more than all of its work. Here 2 ms. In WAL mode
`synchronous=NORMAL` survives the death of the process. The loss of power may take the last events, which are a
record for people: what is live is in the store.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

BUSY_S = 60
_one_run = threading.Event()


def executing_one_run() -> None:
    """Said by a process that executes one run and ends; pages and daemons, which see all runs, keep nothing open."""
    _one_run.set()
    event.listen(Engine, "connect", _flush_rarely)


def _flush_rarely(connection: object, _record: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=NORMAL")


class Storage(DagsterSqliteStorage):
    """What `dagster.yaml` names: the files of Dagster's default storage, in the same places."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        self._event_log_storage = EventLog(f"{base_dir}/history/runs")

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Storage:
        return cls.from_local(inst_data=inst_data, **config_value)


class EventLog(SqliteEventLogStorage):
    """Keeps the connections to the index and to the first run that it is asked for, which is the one executed."""

    def __init__(self, base_dir: str) -> None:
        self._kept: dict[str, Engine] = {}
        self._turn = threading.Lock()
        self._tables: set[str] = set()
        super().__init__(base_dir)  # which connects already

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        plain = super().run_connection
        return self._connection(run_id, lambda: plain(run_id)) if run_id else plain(run_id)

    def index_connection(self) -> AbstractContextManager[Connection]:
        return self._connection(INDEX_SHARD_NAME, super().index_connection)

    def has_table(self, table_name: str) -> bool:
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    @contextmanager
    def _connection(self, shard: str, plain: Any) -> Iterator[Connection]:
        if not _one_run.is_set() or (shard not in self._kept and len(self._kept) == 2):
            with plain() as connection:
                yield connection
            return
        with self._turn:
            if shard not in self._kept:
                with plain():  # makes the file and its tables when they are not there
                    pass
                self._kept[shard] = create_engine(
                    self.conn_string_for_shard(shard),
                    poolclass=StaticPool,
                    connect_args={"timeout": BUSY_S, "check_same_thread": False},
                )
            with self._kept[shard].connect() as connection, connection.begin():
                yield connection
