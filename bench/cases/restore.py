"""From stored objects to a server that answers: ours against the pipes that a person would type.

Both sides start a fresh throwaway server, restore roles and the database first, then the data in one
transaction. Counting for the proof comes after and is not in these rows.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pyrage

from bench.databases import MEGABYTES, Bench, shell
from bench.harness import Case
from cortex_ops.backup.keys import DRILL, load_drill_identity
from cortex_ops.backup.manifest import Facts, Part, SourceRecord
from cortex_ops.backup.sources import Take
from cortex_ops.backup.sources.postgres import dumped
from cortex_ops.backup.sources.postgres_aside import restored_copy
from cortex_ops.backup.streams import fetch_part, verify_part
from cortex_ops.backup.timings import Timings

RAW = r"""
docker run -d --rm --name "$1" --network none --user 999:999 --memory "$5" --shm-size 128m \
  --mount type=volume,dst=/var/lib/postgresql/data --entrypoint sh "$2" -c 'mkdir -p "$0/socket"
  initdb -D "$0/data" -U cortex -A trust -E UTF8 >/dev/null
  exec postgres -D "$0/data" -c listen_addresses= -c unix_socket_directories="$0/socket"' \
  /var/lib/postgresql/data >/dev/null
trap 'docker rm -f -v "$1" >/dev/null' EXIT
client() { docker run --rm -i --network none --user 999:999 --volumes-from "$name" --entrypoint sh "$image" -c \
  'until pg_isready -q -h "$0"; do sleep 0.1; done
   exec psql -Xq -v ON_ERROR_STOP=1 -h "$0" -U cortex -o /dev/null "$@"' \
  /var/lib/postgresql/data/socket "$@"; }
name=$1 image=$2
plain() { age -d -i "$identity" < "$1" | zstd -dq; }
identity=$3
{ plain "$4.globals" | grep -v '^CREATE ROLE cortex;'; plain "$4.database"; } | client -d postgres -f -
plain "$4.data" | client -d cortex --single-transaction -f -
"""
bench = Bench()
parts: dict[str, Part] = {}
record: list[SourceRecord] = []


def up() -> None:
    """Dump once; all runs of both sides restore these parts."""
    bench.up()
    with dumped(bench.ctx, bench.crew, bench.server, "postgres", bench.sink, Timings(bench.ctx, "postgres")) as dump:
        parts.update({part.name: part for part in dump.parts})
    for name, part in parts.items():
        (bench.folder / f"raw.{name}").symlink_to(Path(bench.ctx.settings.store) / part.key)
    details = {"database": "cortex", "bootstrap_role": "cortex", "preload": "", "user": bench.server.user}
    record[:] = [
        SourceRecord(
            store="postgres",
            kind="postgres",
            data_time=dump.data_time,
            image=bench.server.image,
            server_version=dump.about["version"],
            client_version=dump.client,
            details={**details, "data_path": bench.server.data_path},
            parts=tuple(dump.parts),
            facts=Facts(algorithm=""),
        )
    ]


def restore() -> None:
    identity: pyrage.x25519.Identity = load_drill_identity(bench.place.settings)

    def fetch(name: str, take: Take) -> int:
        return fetch_part(bench.ctx.store, parts[name], identity, take).plain

    with restored_copy(bench.ctx, bench.crew, record[0], fetch, Timings(bench.ctx, "postgres")):
        pass


def verified_first() -> None:
    for part in parts.values():
        verify_part(bench.ctx.store, part)
    restore()


def raw() -> None:
    docker = bench.ctx.engine.argv()[0]
    script = f'docker() {{ {shlex.quote(docker)} "$@"; }}\n{RAW}'
    memory = bench.place.stack.stores["postgres"].memory.removesuffix("i").lower()
    keys = bench.place.settings.keys
    shell(
        script,
        bench.crew.name("raw"),
        bench.server.box.image,
        str(keys / DRILL),
        str(bench.folder / "raw"),
        memory,
    )


def cases() -> list[Case]:
    common = {
        "kind": "ratio",
        "raw": raw,
        "raw_command": RAW.strip(),
        "pairs": 6,
        "prepare": up,
        "finish": bench.down,
    }
    return [
        Case(name=f"restore, {MEGABYTES} MB, verified in stream", target=1.1, ours=restore, **common),  # type: ignore[arg-type]
        Case(name=f"restore, {MEGABYTES} MB, verified first", target=1.6, ours=verified_first, **common),  # type: ignore[arg-type]
    ]
