"""Which processes a run started, told apart by pid and start time, so that one that outlives it is noticed."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from cortex_ops.kernel.process import process_start


def descendants(pid: int) -> set[int]:
    """The pids below this one, without it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family - {pid}


Family = dict[int, str]


def family(pid: int) -> Family:
    """The start time of every process below this one, by pid."""
    return {one: start for one in descendants(pid) if (start := process_start(one)) is not None}


def outliving(found: Family, seconds: float) -> list[str]:
    """Those that still live after so many seconds; the wait ends with the last of them."""
    until = time.monotonic() + seconds
    while left := [pid for pid, start in found.items() if process_start(pid) == start and not _zombie(pid)]:
        if time.monotonic() > until:
            return [f"{pid} ({_command(pid)})" for pid in left]
        time.sleep(0.1)
    return []


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:120]
    except OSError:
        return "ended"


def argument_vectors() -> set[bytes]:
    """Of all processes of the machine, as everybody may read them."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add((process / "cmdline").read_bytes())
    return found
