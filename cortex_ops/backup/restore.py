"""In which order a set becomes a running system again, as a value. Pure: drills and people read it.

Restoring over the real database is not here: it needs stopped writers, an emptied target and a confirmation.
"""

from __future__ import annotations

from cortex_ops.backup.manifest import Manifest
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import Value


class Step(Value):
    """One step for one store; `parts` are keys in the store, in the order in which they are read."""

    store: str
    action: str
    parts: tuple[str, ...] = ()
    why: str = ""


_POSTGRES = (
    ("verify", ("globals", "database", "data"), "what is stored must be what was signed"),
    ("roles and database", ("globals", "database"), "outside a transaction; roles that exist stay"),
    ("data", ("data",), "in one transaction that stops at the first error"),
    ("compare", (), "counts, checksums, sequences and names with those of the dump's own snapshot"),
)


def plan(manifest: Manifest) -> tuple[Step, ...]:
    """The steps for all stores of a set, in order."""
    steps = []
    for source in manifest.sources:
        if source.kind != "postgres":
            raise OpsError(f"this version cannot restore {source.store}, a {source.kind} store")
        keys = {part.name: part.key for part in source.parts}
        for action, names, why in _POSTGRES:
            missing = [name for name in names if name not in keys]
            if missing:
                raise OpsError(f"set {manifest.set_id} has no part {missing[0]} of {source.store}")
            parts = tuple(keys[name] for name in names)
            steps.append(Step(store=source.store, action=action, parts=parts, why=why))
    return tuple(steps)
