"""Postgres: dumped by the server's own image in the snapshot in which it is counted, restored beside.

How its SQL looks is in `postgres_sql`; how a container is run in `backup.containers`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cortex_ops.backup.containers import Crew
from cortex_ops.backup.context import BackupContext
from cortex_ops.backup.manifest import Facts, Part, SourceRecord
from cortex_ops.backup.plain import BytesPlain
from cortex_ops.backup.session import PSQL, Output, Session
from cortex_ops.backup.sources import Fetch, Restored, Saved, Sink
from cortex_ops.backup.sources import postgres_sql as sql
from cortex_ops.backup.sources.postgres_aside import restore_aside
from cortex_ops.backup.sources.postgres_facts import left_out, take_facts
from cortex_ops.backup.sources.postgres_server import Server, locate
from cortex_ops.backup.timings import Timings
from cortex_ops.kernel.clock import iso
from cortex_ops.kernel.errors import OpsError

_HEAD = 8 * 1024 * 1024


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
    """Hold a snapshot, dump in it, and keep it for the block, so that what is counted there is what was dumped.

    One container does it all: `psql` holds the snapshot and starts the programs that dump.
    """
    data_time = iso(ctx.clock.now())  # all that was committed before is in the dump
    command = server.with_password(*PSQL, "-h", server.host, "-U", server.owner, "-w", "-d", server.conninfo())
    with crew.run(server.box, store, command, what=f"dumping {store}", stdin=True) as pipeline:
        session = Session(pipeline, f"{store} of {ctx.environment}", deadline=ctx.deadline)
        client = session.shell("pg_dump --version").decode().strip()
        session.do(sql.FIX_SETTINGS)
        about = session.ask(sql.SERVER)[0]
        sql.check_majors(client, about["version"])
        session.do(sql.BEGIN)
        snapshot = str(session.ask(sql.SNAPSHOT)[0])
        sequences = session.ask(sql.SEQUENCES)
        to = shlex.join(("-h", server.host, "-U", server.owner, "-w", "-d", server.conninfo()))
        with timings.step("dump"):
            # Roles with their password hashes: the part is encrypted.
            roles = session.shell(
                f"pg_dumpall {to} --database={shlex.quote(server.database)} --globals-only --no-tablespaces",
                trailer=sql.GLOBALS_TRAILER,
            )
            parts = [sink("globals", BytesPlain(roles))]
            output = session.stream(
                f"pg_dump {to} --create --no-tablespaces --snapshot={snapshot}", trailer=sql.DUMP_TRAILER
            )
            head, rest = _read_head(output)
            parts.append(sink("database", BytesPlain(head)))
            output.push_back(rest)
            parts.append(sink("data", output))
        yield Dump(session, parts, sequences, about, client, data_time)
        session.close()


def _read_head(output: Output) -> tuple[bytes, bytes]:
    """What a dump says about the database itself, and the beginning of what is in it."""
    data = bytearray()
    while True:
        more = output.read(65536)
        data += more
        if not more:
            return sql.split_whole(bytes(data))
        if (parted := sql.split_head(bytes(data))) is not None:
            return parted
        if len(data) > _HEAD:
            raise OpsError("pg_dump wrote 8 MiB without naming a table: its form is unknown")
