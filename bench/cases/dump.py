"""A dump, compressed, encrypted, hashed and durable: ours against the pipe of programs that does the same.

Both sides run the same client in a container of the same kind. Ours also holds a snapshot and saves the roles;
what it counts for the drill comes after the dump and is not in this row.
"""

from __future__ import annotations

import shlex

from bench.databases import MEGABYTES, Bench, shell
from bench.harness import Case
from cortex_ops.backup.containers import run_arguments
from cortex_ops.backup.keys import RECIPIENTS
from cortex_ops.backup.sources.postgres import dumped
from cortex_ops.backup.timings import Timings

RAW = "{dump} | zstd -q -1 -T2 | tee >(sha256sum > {out}.sum) | age -R {recipients} > {out}; sync {out}"
bench = Bench()


def ours() -> None:
    timings = Timings(bench.ctx, "postgres")
    with dumped(bench.ctx, bench.crew, bench.server, "postgres", bench.sink, timings) as dump:
        parts = dump.parts
    bench.forget(parts)


def raw() -> None:
    server = bench.server
    to = ("-h", server.host, "-U", server.owner, "-w", "-d", server.database)
    command = server.with_password("pg_dump", *to, "--create", "--no-tablespaces")
    argv = run_arguments(server.box, bench.crew.name("raw"), bench.crew.labels("raw"), command, stdin=False)
    out = bench.folder / "raw.age"
    shell(
        RAW.format(
            dump=shlex.join(bench.ctx.engine.argv(*argv)),
            out=shlex.quote(str(out)),
            recipients=shlex.quote(str(bench.place.settings.keys / RECIPIENTS)),
        )
    )
    out.unlink()


def cases() -> list[Case]:
    return [
        Case(
            name=f"dump, {MEGABYTES} MB",
            kind="rate",
            target=0.92,
            ours=ours,
            raw=raw,
            raw_command=RAW.format(dump="docker run … pg_dump --create", out="FILE", recipients="FILE"),
            pairs=15,
            prepare=bench.up,
            finish=bench.down,
            note="checksums for the drill are counted apart",
        )
    ]
