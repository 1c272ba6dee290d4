"""One set-up at a time on a machine: two clones share a cache and an engine."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.setup.shell import SetupError, say


@contextlib.contextmanager
def alone(cache: Path, deadline: float = 2400.0) -> Iterator[None]:
    """Hold the cache's lock; a killed holder gives it back by itself. Raises `SetupError` after `deadline` s."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as file:
        end, told = time.monotonic() + deadline, False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise SetupError(f"another set-up has held {cache}/.lock for {deadline:g} s", "end it") from None
                if not told:
                    say("  waiting for another set-up on this machine")
                    told = True
                time.sleep(0.2)
        yield
