"""Things that wait for other programs, at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

from cortex_ops.kernel.process import end_all

Result = TypeVar("Result")


def at_once(tasks: Iterable[Callable[[], Result]], *, most: int = 8) -> list[Result]:
    """The results in the order of the tasks, or the first failure of that order, once all have ended. When the
    waiting thread is told to end, so are the programs that this process runs."""
    waiting = list(tasks)
    if not waiting:
        return []
    with ThreadPoolExecutor(min(most, len(waiting))) as pool:
        running = [pool.submit(task) for task in waiting]
        try:
            wait(running)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_all()
            raise
    return [one.result() for one in running]
