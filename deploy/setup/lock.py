"""One set-up at a time on a machine: two checkouts share a cache and an engine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.setup.shell import HELD, SetupError, say

PROJECT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def alone(folder: Path, deadline: float = 2400.0) -> Iterator[None]:
    """Hold the folder's lock; the kernel takes it back from a killed holder. Raises `SetupError`, which names the
    holder, after `deadline` s."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".setup.lock"
    with path.open("a+") as file:
        end, refused = time.monotonic() + deadline, 0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = path.read_text().strip() or "another one"
                if time.monotonic() > end:
                    raise SetupError(f"the set-up of {holder} has not ended for {deadline:g} s", "end it") from None
                refused += 1
                if refused == 2:  # at the first refusal the holder may not have written its name yet
                    say(f"  waiting for the set-up of {holder}")
                time.sleep(0.2)
        file.truncate(0)
        file.write(f"{PROJECT} (pid {os.getpid()})")
        file.flush()
        HELD.append(file.fileno())
        try:
            yield
        finally:
            HELD.remove(file.fileno())
