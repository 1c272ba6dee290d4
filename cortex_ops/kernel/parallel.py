"""Things that wait for other programs, at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from cortex_ops.kernel.process import end_all_until

Result = TypeVar("Result")


def at_once(tasks: Iterable[Callable[[], Result]], *, most: int = 8) -> list[Result]:
    """The results in the order of the tasks, or the first failure of that order, once all have ended. When the
    waiting thread is told to end, so are the programs that this process runs.

    Threads and no pool of futures: being told to end may interrupt any line, and a pool that is interrupted while it
    is handed its tasks waits for them, or keeps a lock that they need.
    """
    waiting = list(enumerate(tasks))
    count = len(waiting)
    results: dict[int, Result] = {}
    failures: dict[int, BaseException] = {}

    most = min(most, count)
    begun: list[None] = []
    ended: list[None] = []
    all_ended = threading.Event()

    def work() -> None:
        begun.append(None)
        try:
            while waiting:
                try:
                    number, task = waiting.pop(0)
                except IndexError:  # another thread took the last one
                    return
                try:
                    results[number] = task()
                except BaseException as error:
                    failures[number] = error
        finally:
            ended.append(None)
            if len(ended) == most:
                all_ended.set()

    try:
        for _ in range(most):
            threading.Thread(target=work, daemon=True).start()
        if most:
            all_ended.wait()  # no join: a thread whose join was interrupted counts as ended
    except BaseException:
        waiting.clear()
        end_all_until(lambda: len(ended) == len(begun))
        raise
    if failures:
        raise failures[min(failures)]
    return [results[number] for number in range(count)]
