"""A throwaway server from the recorded image: without a network, removed whatever happens, filled from a set.

Order matters: roles and the database first, then all data in one transaction that stops at the first error and
is committed by a statement of ours, sent only after the stored bytes were verified to their end. A stream that
breaks off therefore commits nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cortex_ops.backup.containers import Box, Crew
from cortex_ops.backup.context import BackupContext
from cortex_ops.backup.manifest import Facts, SourceRecord
from cortex_ops.backup.plain import ProcessSink
from cortex_ops.backup.session import PSQL, Session
from cortex_ops.backup.sources import Fetch, Restored
from cortex_ops.backup.sources import postgres_sql as sql
from cortex_ops.backup.sources.postgres_facts import take_facts
from cortex_ops.backup.timings import Timings
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import ImageRef
from cortex_ops.stack.quantities import size

READY = 120.0
# $1 data folder, $2 superuser, $3 libraries. Trust is safe: only its own clients share the socket's volume.
_SERVE = """set -eu
mkdir -p "$1/socket"
initdb -D "$1/data" -U "$2" -A trust -E UTF8 >/dev/null
exec postgres -D "$1/data" -c listen_addresses= -c unix_socket_directories="$1/socket" \
  -c shared_preload_libraries="$3" -c log_error_verbosity=terse -c log_min_error_statement=panic
"""
_WHEN_READY = """n=0
until pg_isready -q -h "$1"; do
  n=$((n + 1)); [ "$n" -lt 1000 ] || { echo "the server did not become ready" >&2; exit 1; }; sleep 0.1
done
shift; exec "$@"
"""


class Copy:
    """The throwaway server of one source, while its container runs."""

    def __init__(
        self, ctx: BackupContext, crew: Crew, record: SourceRecord, name: str, image: str, data: str
    ) -> None:
        self.ctx, self.crew, self.record, self.name = ctx, crew, record, name
        self.socket = f"{data}/socket"
        self.role = record.details["bootstrap_role"]
        self.database = record.details["database"]
        self.box = Box(
            image=image,
            network="none",
            user=record.details["user"],
            volumes_from=name,
            flags=("--memory", "256m", "--pids-limit", "64"),
        )

    def client(self, database: str, *arguments: str) -> list[str]:
        return [*PSQL, "-h", self.socket, "-U", self.role, "-w", "-d", database, *arguments]

    def fill(self, fetch: Fetch) -> None:
        """Roles and the database: read and verified whole, then run."""
        roles, database = bytearray(), bytearray()
        fetch("globals", roles.extend)
        fetch("database", database.extend)
        start = "postgres"
        text = sql.tolerate_roles(roles.decode()).encode() + b"\n"
        if self.database == "postgres":
            start, text = "template1", text + b"DROP DATABASE postgres;\n"
        what = "restoring the roles and the database"
        command = ["sh", "-c", _WHEN_READY, "sh", self.socket, *self.client(start, "-o", "/dev/null", "-f", "-")]
        with self.crew.run(self.box, f"{self.record.store}-setup", command, what=what, stdin=True) as pipeline:
            sink = ProcessSink(pipeline, what, deadline=READY)
            sink.write(text + bytes(database))
            sink.close()

    def load(self, fetch: Fetch) -> None:
        """The data, in one transaction; the commit follows only on a stream that was verified to its end."""
        what = "restoring the data"
        command = self.client(self.database, "-o", "/dev/null", "-f", "-")
        with self.crew.run(self.box, f"{self.record.store}-data", command, what=what, stdin=True) as pipeline:
            sink = ProcessSink(pipeline, what, deadline=self.ctx.deadline)
            sink.write(b"SET default_transaction_read_only = off;\nBEGIN;\n")
            fetch("data", sink.write)
            sink.write(b"\nCOMMIT;\n")
            sink.close()

    def facts(self) -> Facts:
        what = "counting the restored copy"
        command = self.client(self.database)
        with self.crew.run(self.box, f"{self.record.store}-facts", command, what=what, stdin=True) as pipeline:
            session = Session(pipeline, what, deadline=self.ctx.deadline)
            session.do(sql.FIX_SETTINGS)
            session.do(sql.BEGIN)
            facts = take_facts(session)
            session.close()
        return facts


def restore_aside(ctx: BackupContext, crew: Crew, record: SourceRecord, fetch: Fetch) -> Restored:
    """See `sources.Source.restore_aside`."""
    timings = Timings(ctx, record.store)
    with restored_copy(ctx, crew, record, fetch, timings) as copy:
        recovered = timings.total()
        with timings.step("content checksums"):
            facts = copy.facts()
    return Restored(facts=facts, seconds=timings.seconds, recovered=recovered)


@contextmanager
def restored_copy(
    ctx: BackupContext, crew: Crew, record: SourceRecord, fetch: Fetch, timings: Timings
) -> Iterator[Copy]:
    """A throwaway server that holds the set's content for the block."""
    image = usable(ctx, record.image)
    data = record.details["data_path"] or "/var/lib/postgresql/data"
    model = ctx.stack.stores.get(record.store)
    box = Box(
        image=image,
        network="none",
        user=record.details["user"],
        mounts=(f"type=volume,dst={data}",),
        flags=(
            *("--memory", str(size(model.memory if model else "512Mi"))),
            *("--shm-size", "128m", "--pids-limit", "256"),
        ),
        logs=True,
    )
    serve = ["sh", "-c", _SERVE, "sh", data, record.details["bootstrap_role"], record.details["preload"]]
    with crew.background(box, f"{record.store}-copy", serve, what="starting the throwaway server") as name:
        copy = Copy(ctx, crew, record, name, image, data)
        try:
            with timings.step("roles and database"):
                copy.fill(fetch)
            with timings.step("data"):
                copy.load(fetch)
            yield copy
        except OpsError as error:
            _add_logs(error, crew, name)
            raise


def usable(ctx: BackupContext, image: ImageRef) -> str:
    """What to run. An image without a registry exists in its own engine only."""
    if not image.repository and image.engine_id != ctx.engine.id:
        raise OpsError(
            f"the backup's image {image.image_id[:19]} exists only in the engine {image.engine_id[:12]} that it was"
            f" taken on, and this one is {ctx.engine.id[:12]}",
            remedy="release with a registry (CORTEX_OPS_REGISTRY), so that sets name images that others can pull",
        )
    reference = image.reference()
    argv = ctx.engine.argv("image", "inspect", "--format", "{{.Id}}", reference)
    if ctx.engine.run(argv, what="looking for the image", deadline=60, check=False).code == 0:
        return reference
    if not image.repository:
        raise OpsError(f"the backup's image {image.image_id[:19]} is no longer in the engine")
    ctx.engine.run(ctx.engine.argv("pull", "-q", reference), what=f"pulling {reference}", deadline=900)
    return reference


def _add_logs(error: OpsError, crew: Crew, name: str) -> None:
    if lines := crew.logs(name):
        error.details = (*error.details, "the throwaway server's last lines:", *lines)
