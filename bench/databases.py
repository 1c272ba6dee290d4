"""A real Postgres of a given size for the dump and restore rows, and what both of their sides need."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cortex_ops.backup.containers import Crew
from cortex_ops.backup.context import BackupContext
from cortex_ops.backup.keys import ensure_keys, load_recipients
from cortex_ops.backup.manifest import Part
from cortex_ops.backup.sources import postgres_server
from cortex_ops.backup.streams import Plain, store_part
from cortex_ops.kernel.errors import InputError
from tests.support.engine import docker_env
from tests.support.postgres import Place, sample_postgres

MEGABYTES = int(os.environ.get("CORTEX_OPS_BENCH_MB", "1024"))
ROW_BYTES = 300

# Rows as applications have them: ids, times, words that repeat, and text that does not compress.
ROWS = """
CREATE TABLE events (id bigint PRIMARY KEY, at timestamptz, kind text, amount numeric, body text, note text);
INSERT INTO events SELECT g, timestamptz '2026-01-01 00:00:00Z' + g * interval '1 second',
  (ARRAY['task.planned', 'task.done', 'message.sent', 'tool.called'])[1 + g % 4], g / 7.0,
  md5(g::text) || md5((g * 7)::text) || md5((g * 13)::text),
  'the task was planned by ' || g % 100 || ' and picked up by agent ' || g % 17 || ', which called '
    || g % 5 || ' tools'
  FROM generate_series(1, {count}) g;
"""


class Bench:
    """One database for both sides of a row; made by `up`, removed by `down`."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.place: Place
        self.folder: Path
        self.ctx: BackupContext
        self.crew: Crew
        self.server: postgres_server.Server
        self._number = 0

    def up(self) -> None:
        for program in ("zstd", "age"):
            if shutil.which(program) is None:
                raise InputError(f"the raw side needs the program {program}", remedy="apt-get install zstd age")
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        sql = ROWS.format(count=MEGABYTES * 1024 * 1024 // ROW_BYTES)
        self.place = self._stack.enter_context(sample_postgres(self.folder, sql=sql, memory="4g"))
        self.place.sql("CHECKPOINT")
        ensure_keys(self.place.settings)
        self.ctx = self.place.context(deadline=3600)
        self.crew = Crew(self.ctx.engine, self.ctx.prefix, self.ctx.run_id, "bench")
        self.server = postgres_server.locate(self.ctx, "postgres")

    def down(self) -> None:
        self._stack.close()

    def sink(self, part: str, plain: Plain) -> Part:
        """A part under a key that was not used before."""
        self._number += 1
        key = f"bench/{self._number}.{part}"
        return store_part(self.ctx.store, key, part, plain, load_recipients(self.place.settings))

    def forget(self, parts: list[Part]) -> None:
        for part in parts:
            self.ctx.store.delete(part.key)


def shell(script: str, *arguments: str) -> None:
    """What a person would type, with every exit code of the pipe checked."""
    subprocess.run(["bash", "-euo", "pipefail", "-c", script, "raw", *arguments], env=docker_env(), check=True)
