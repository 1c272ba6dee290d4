"""Postgres: dumped by the server's own image in the snapshot in which it is counted, restored beside.

How its SQL looks is in `postgres_sql`; how a container is run in `backup.containers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cortex_ops.backup.containers import Crew
from cortex_ops.backup.context import BackupContext
from cortex_ops.backup.manifest import Facts, Part, SourceRecord
from cortex_ops.backup.plain import BytesPlain, ProcessPlain, read_all
from cortex_ops.backup.session import PSQL, Session
from cortex_ops.backup.sources import Fetch, Restored, Saved, Sink
from cortex_ops.backup.sources import postgres_sql as sql
from cortex_ops.backup.sources.postgres_aside import restore_aside
from cortex_ops.backup.sources.postgres_facts import left_out, take_facts
from cortex_ops.backup.sources.postgres_server import Server, locate
from cortex_ops.backup.timings import Timings
from cortex_ops.kernel.clock import iso
from cortex_ops.kernel.errors import OpsError

_HEAD = 8 * 1024 * 1024
_GLOBALS = 64 * 1024 * 1024


class Postgres:
    """See `sources.Source`."""

    kind = "postgres"

    def save(self, ctx: BackupContext, crew: Crew, store: str, sink: Sink) -> Saved:
        server = locate(ctx, store)
        timings = Timings(ctx, store)
        with dumped(ctx, crew, server, store, sink, timings) as dump, timings.step("content checksums"):
            facts = take_facts(dump.session, dump.sequences)
            warnings = left_out(dump.session, store)
        record = SourceRecord(
            store=store,
            kind=self.kind,
            data_time=dump.data_time,
            image=server.image,
            server_version=dump.about["version"],
            client_version=dump.client,
            details={
                "database": server.database,
                "bootstrap_role": dump.about["bootstrap"],
                "preload": dump.about["preload"],
                "user": server.user,
                "data_path": server.data_path,
            },
            parts=tuple(dump.parts),
            facts=facts,
            milliseconds={step: round(value * 1000) for step, value in timings.seconds.items()},
        )
        return Saved(record, tuple(warnings))

    def restore_aside(self, ctx: BackupContext, crew: Crew, record: SourceRecord, fetch: Fetch) -> Restored:
        return restore_aside(ctx, crew, record, fetch)

    def compare(self, expected: Facts, found: Facts) -> list[str]:
        return sql.differences(expected, found)


@dataclass(frozen=True)
class Dump:
    """A dump that was stored, while its snapshot is still held in `session`."""

    session: Session
    parts: list[Part]
    sequences: list[list[object]]
    about: dict[str, str]
    client: str
    data_time: str


@contextmanager
def dumped(
    ctx: BackupContext, crew: Crew, server: Server, store: str, sink: Sink, timings: Timings
) -> Iterator[Dump]:
    """Hold a snapshot, dump in it, and keep it for the block, so that what is counted there is what was dumped."""
    data_time = iso(ctx.clock.now())  # all that was committed before is in the dump
    with crew.run(server.box, store, server.client(*PSQL), what=f"connecting to {store}", stdin=True) as pipeline:
        session = Session(pipeline, f"the session with {store}", deadline=ctx.deadline)
        client = session.shell("pg_dump --version")
        session.do(sql.FIX_SETTINGS)
        about = session.ask(sql.SERVER)[0]
        sql.check_majors(client, about["version"])
        session.do(sql.BEGIN)
        snapshot = str(session.ask(sql.SNAPSHOT)[0])
        sequences = session.ask(sql.SEQUENCES)
        with timings.step("roles and settings"):
            parts = [_save_globals(crew, server, store, sink, ctx.deadline)]
        with timings.step("dump"):
            parts += _save_database(crew, server, store, sink, snapshot, ctx.deadline)
        yield Dump(session, parts, sequences, about, client, data_time)
        session.close()


def _save_globals(crew: Crew, server: Server, store: str, sink: Sink, deadline: float) -> Part:
    """Roles (with their password hashes: the part is encrypted) and their settings."""
    command = server.client("pg_dumpall", "--globals-only", "--no-tablespaces")
    command[command.index("-d")] = "-l"  # pg_dumpall calls the database to start from so
    with crew.run(server.box, store, command, what=f"dumping the roles of {store}") as pipeline:
        plain = ProcessPlain(pipeline, "pg_dumpall", deadline=deadline, trailer=sql.GLOBALS_TRAILER)
        text = read_all(plain, _GLOBALS)
    return sink("globals", BytesPlain(text))


def _save_database(crew: Crew, server: Server, store: str, sink: Sink, snapshot: str, deadline: float) -> list[Part]:
    """The statements that make the database, then all that is in it, in the given snapshot."""
    command = server.client("pg_dump", "--create", "--no-tablespaces", f"--snapshot={snapshot}")
    with crew.run(server.box, store, command, what=f"dumping {store}") as pipeline:
        plain = ProcessPlain(pipeline, "pg_dump", deadline=deadline, trailer=sql.DUMP_TRAILER)
        head, rest = _read_head(plain)
        first = sink("database", BytesPlain(head))
        plain.push_back(rest)
        return [first, sink("data", plain)]


def _read_head(plain: ProcessPlain) -> tuple[bytes, bytes]:
    data = b""
    while True:
        more = plain.read(65536)
        data += more
        if not more:
            return sql.split_whole(data)
        if (parted := sql.split_head(data)) is not None:
            return parted
        if len(data) > _HEAD:
            raise OpsError("pg_dump wrote 8 MiB without naming a table: its form is unknown")
