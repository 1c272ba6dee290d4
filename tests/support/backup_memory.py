"""How much memory a backup or drill takes above an idle process, all its programs included.

`python -m tests.support.backup_memory --megabytes 10240` measures a big one; a test measures a small one.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.databases import ROW_BYTES, ROWS
from tests.support.backup_torture import start
from tests.support.engine import docker
from tests.support.postgres import LABEL, Place, sample_postgres
from tests.support.processes import descendants

CLIENTS = (b"pg_dump", b"pg_dumpall", b"psql")


@dataclass(frozen=True)
class Memory:
    """Proportional set sizes in MB: after imports, at the peak, and who held what then."""

    idle: float
    peak: float
    held: dict[str, float]

    @property
    def above(self) -> float:
        return self.peak - self.idle


def measure(place: Place, folder: Path, task: str) -> Memory:
    """Sample our process, what it started, and the database clients in containers, twenty times a second."""
    child = start(place, folder, "c" * 32, task)
    clients = Clients(place)
    idle, peak, held = _pss(child.pid), 0.0, dict[str, float]()
    while child.poll() is None:
        now = {pid: _pss(pid) for pid in {child.pid} | descendants(child.pid) | clients.pids()}
        if sum(now.values()) > peak:
            peak, held = sum(now.values()), {f"{_name(pid)} {pid}": round(size, 1) for pid, size in now.items()}
        time.sleep(0.05)
    _, errors = child.communicate()
    assert child.returncode == 0, errors
    return Memory(idle, peak, held)


def _pss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


class Clients:
    """Database clients in this place's containers, told from those of others by their control group."""

    def __init__(self, place: Place) -> None:
        self._project = f"label={LABEL}project={place.prefix}"
        self._ours: dict[str, bool] = {}

    def pids(self) -> set[int]:
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if (entry / "cmdline").read_bytes().split(b"\0")[0] in CLIENTS:
                    ids = re.findall(r"[0-9a-f]{64}", (entry / "cgroup").read_text())
                    found |= {int(entry.name)} if any(map(self._is_ours, ids)) else set()
            except OSError:
                continue
        return found

    def _is_ours(self, container: str) -> bool:
        if container not in self._ours:
            listed = docker("ps", "-q", "--no-trunc", "--filter", self._project).split()
            self._ours[container] = container in listed
        return self._ours[container]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1024)
    args = parser.parse_args()
    sql = ROWS.format(count=args.megabytes * 1024 * 1024 // ROW_BYTES)
    with tempfile.TemporaryDirectory() as folder, sample_postgres(Path(folder), sql=sql, memory="4g") as place:
        for task in ("backup", "drill"):
            memory = measure(place, Path(folder), task)
            print(f"{task} of {args.megabytes} MB: {memory.above:.1f} MB above idle ({memory.held})", flush=True)


if __name__ == "__main__":
    main()
