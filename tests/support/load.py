"""Requests as users send them, from outside and without retries: kept-alive and new connections, POSTs, slow ones.

Only loopback addresses are accepted. Every failure is kept with its reason.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Load:
    """What was sent and what failed."""

    sent: int = 0
    failures: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str | None, problem: str | None) -> None:
        with self.lock:
            self.sent += 1
            if problem is not None:
                self.failures.append(problem)
            elif answer is not None:
                self.answers[answer] += 1


def _ask(connection: http.client.HTTPConnection, method: str, path: str, load: Load) -> bool:
    try:
        connection.request(method, path, body=b"x" * 512 if method == "POST" else None)
        response = connection.getresponse()
        body = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        load.note(None, f"{time.time():.3f} {method} {path}: {type(error).__name__} {error}")
        return False
    if response.status != 200:
        load.note(None, f"{time.time():.3f} {method} {path}: {response.status} {body[:80]}")
        return True
    load.note(body, None)
    return True


def _kept_alive(port: int, load: Load, stop: threading.Event, method: str, pause: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while not stop.is_set():
        if not _ask(connection, method, "/", load):
            connection.close()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        time.sleep(pause)
    connection.close()


def _new_each_time(port: int, load: Load, stop: threading.Event, path: str, pause: float) -> None:
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        _ask(connection, "GET", path, load)
        connection.close()
        time.sleep(pause)


@contextmanager
def under_load(port: int, *, pause: float = 0.01) -> Iterator[Load]:
    """Requests from five threads while the block runs; all are answered or failed when it ends."""
    load, stop = Load(), threading.Event()
    threads = [
        threading.Thread(target=_kept_alive, args=(port, load, stop, "GET", pause)),
        threading.Thread(target=_kept_alive, args=(port, load, stop, "POST", pause)),
        threading.Thread(target=_new_each_time, args=(port, load, stop, "/", pause)),
        threading.Thread(target=_new_each_time, args=(port, load, stop, "/slow", 0.0)),
        threading.Thread(target=_new_each_time, args=(port, load, stop, "/slow", 0.3)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(15)
