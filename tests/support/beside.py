"""Looking again and again while something else runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def beside(look: Callable[[], object], every: float) -> Iterator[threading.Thread]:
    """`look` is called in a thread at once and then every so many seconds while the block runs; a true answer ends
    the looking. What it raises ends it too, and is raised after the block: who did not look has seen nothing."""
    over, failed = threading.Event(), []

    def run() -> None:
        try:
            while not look() and not over.wait(every):
                pass
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
