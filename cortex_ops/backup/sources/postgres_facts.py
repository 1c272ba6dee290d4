"""What is true of a database in one transaction, asked through a session: taken of the original and of a copy."""

from __future__ import annotations

from cortex_ops.backup.manifest import Facts
from cortex_ops.backup.session import Session
from cortex_ops.backup.sources import postgres_sql as sql


def take_facts(session: Session, moving: list[list[object]] | None = None) -> Facts:
    """Counts, checksums, counters and names, in the session's transaction.

    `moving` is what the sequences were before the dump; without it they stand still.
    """
    tables = [str(name) for name in session.ask(sql.TABLES)]
    items = [sql.item(name, session.ask(sql.TABLE.format(name))[0]) for name in tables]
    items.append(sql.item("large objects", session.ask(sql.LARGE_OBJECTS)[0]))
    now = session.ask(sql.SEQUENCES)
    return Facts(
        algorithm=sql.ALGORITHM,
        items=tuple(items),
        ranges=sql.with_later(now if moving is None else moving, now),
        names={kind: tuple(sorted(map(str, session.ask(query)))) for kind, query in sql.NAMES.items()},
    )


def left_out(session: Session, store: str) -> list[str]:
    """Sentences about what a dump of this database does not hold."""
    out = [f"{store}: database {name} is not backed up" for name in session.ask(sql.OTHER_DATABASES)]
    for extension, table in session.ask(sql.EXTENSION_TABLES):
        if session.ask(sql.ANY_ROW.format(table))[0]:
            out.append(f"{store}: rows of {table} belong to extension {extension}, which pg_dump leaves out")
    return out
