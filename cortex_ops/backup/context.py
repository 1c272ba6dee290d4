"""What a backup or a drill is given, and the results that people, pages and records see of it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.clock import Clock, iso
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.store import StreamStore
from cortex_ops.kernel.values import ImageLock, Value
from cortex_ops.stack.schema import Stack


@dataclass(frozen=True)
class BackupContext:
    """One environment, one run. `prefix` is what the environment's objects on the engine start with,
    `release` the live sequence, `lock` its images; `deadline` is for the whole operation, in seconds."""

    settings: Settings
    engine: Engine
    store: StreamStore
    stack: Stack
    environment: str
    prefix: str
    lock: ImageLock
    release: int
    clock: Clock
    progress: Progress
    run_id: str
    deadline: float = 2 * 3600.0

    def holder(self) -> str:
        """Who we are, for the one who finds the lock taken."""
        who = f"{self.settings.actor}@{socket.gethostname()}"
        return f"run {self.run_id} of {who} since {iso(self.clock.now())}"


class SourceResult(Value):
    """What was saved of one store. Sizes in bytes; `rows` are those that were counted, in `tables` tables (or
    what its kind has instead); `sha256` is of the stored data."""

    store: str
    kind: str
    version: str
    tables: int
    rows: int
    plain_bytes: int
    stored_bytes: int
    sha256: str
    seconds: float
    steps: dict[str, float]


class BackupResult(Value):
    """A published set. `seconds` is the whole run; `throughput` is plain bytes per second of dumping."""

    environment: str
    set_id: str
    key: str
    data_time: str
    finished_at: str
    release: int
    parts: tuple[SourceResult, ...]
    plain_bytes: int
    stored_bytes: int
    ratio: float
    throughput: float
    rows: int
    signer: str
    recipients: tuple[str, ...]
    seconds: float
    timings: dict[str, float]
    warnings: tuple[str, ...] = ()
    reaped: tuple[str, ...] = ()
    kept: dict[str, str] = {}
    removed: dict[str, str] = {}
    problems: tuple[str, ...] = ()


class DrillResult(Value):
    """A set that was restored and found equal. `recovery_seconds` is from nothing to a database that answers."""

    environment: str
    set_id: str
    proof: str
    data_time: str
    age_seconds: float
    recovery_seconds: float
    seconds: float
    steps: dict[str, float]
    plain_bytes: int
    stored_bytes: int
    throughput: float
    tables: int
    rows: int
    image: str
    reaped: tuple[str, ...] = ()
