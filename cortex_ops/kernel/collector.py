"""Large trees without the cyclic collector.

A description of some hundred services is a hundred thousand small objects and not one cycle. The collector walks
what has been made so far again and again, which made the time of planning grow faster than the system.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def collect_rarely() -> None:
    """For a process that does one thing and ends: what its imports made stays, and is not walked again."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@contextmanager
def collector_paused() -> Iterator[None]:
    """Also as a decorator. Leaves the collector as it was; nested uses are fine."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
