"""What a service's migration folder says: numbered SQL files, each declared compatible or breaking."""

from __future__ import annotations

import re
from pathlib import Path

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.values import Value

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


class Migrations(Value):
    """`head` is the newest number (0: none), `breaking` the newest that is declared breaking (0: none)."""

    head: int = 0
    breaking: int = 0


def read_migrations(folder: Path) -> Migrations:
    """Read `NNNN_name.sql` files; the first line must be `-- compatible` or `-- breaking`.

    Raises `InputError` naming the file for a bad name, a gap, a double number or a missing declaration.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of migrations", remedy="correct `migrations.path` in the stack file")
    seen: dict[int, Path] = {}
    breaking = 0
    for path in sorted(folder.glob("*.sql")):
        match = _NAME.match(path.name)
        if not match:
            raise InputError(f"{path}: a migration is named NNNN_words.sql, like 0002_add_tenant.sql")
        number = int(match[1])
        if number in seen:
            raise InputError(f"{path}: number {number:04d} is also taken by {seen[number].name}")
        seen[number] = path
        with path.open(encoding="utf-8") as stream:
            declared = stream.readline().strip().lower()
        if declared not in ("-- compatible", "-- breaking"):
            raise InputError(f"{path}:1:1: found {declared!r}, expected `-- compatible` or `-- breaking`")
        if declared == "-- breaking":
            breaking = number
    head = max(seen, default=0)
    missing = sorted(set(range(1, head + 1)) - set(seen))
    if missing:
        raise InputError(f"{folder}: migration {missing[0]:04d} is missing before {head:04d}")
    return Migrations(head=head, breaking=breaking)
