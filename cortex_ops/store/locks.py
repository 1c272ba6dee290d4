"""A lock made of create-once objects, for stores without a kernel lock. Generations count up; the highest rules.

A holder that announced an end which has passed, or whose process on this very host is gone, is taken over by
creating the next generation, which only one contender can.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from cortex_ops.kernel.clock import Clock, iso, parse_iso
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.process import process_start
from cortex_ops.kernel.store import Store


@contextmanager
def lease(store: Store, name: str, *, holder: str, seconds: float, clock: Clock) -> Iterator[None]:
    """Hold `locks/<name>`; raises `RefusedError` naming the living holder."""
    folder = f"locks/{name}/"
    generations = _generations(store, folder)
    if generations:
        _refuse_living(store, folder, generations[-1], name, clock)
    mine = (generations[-1] if generations else 0) + 1
    if not store.put_if_absent(_key(folder, mine), _claim(holder, seconds, clock)):
        _refuse_living(store, folder, mine, name, clock)
        raise RefusedError(f"{name} was just taken by another", remedy="run again")
    # A contender that was slow may create a number that was used and cleared; only the highest one holds.
    if _generations(store, folder)[-1] != mine:
        store.delete(_key(folder, mine))
        raise RefusedError(f"{name} was just taken by another", remedy="run again")
    for old in generations:
        store.delete(_key(folder, old))
        store.delete(_key(folder, old) + ".released")
    try:
        yield
    finally:
        with suppress(OpsError):  # if this fails the claim ends by its announced time
            store.put_if_absent(_key(folder, mine) + ".released", b"")


def _key(folder: str, generation: int) -> str:
    return f"{folder}{generation:08d}.json"


def _generations(store: Store, folder: str) -> list[int]:
    keys = store.list(folder)
    return sorted(int(key.removeprefix(folder)[:8]) for key in keys if key.endswith(".json"))


def _claim(holder: str, seconds: float, clock: Clock) -> bytes:
    now = clock.now()
    return json.dumps(
        {
            "holder": holder,
            "since": iso(now),
            "until": iso(now + timedelta(seconds=seconds)),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process": process_start(os.getpid()),
        }
    ).encode()


def _refuse_living(store: Store, folder: str, generation: int, name: str, clock: Clock) -> None:
    key = _key(folder, generation)
    data = store.get(key)
    if data is None or store.get(key + ".released") is not None:
        return
    claim = json.loads(data)
    here = claim["host"] == socket.gethostname()
    if here and process_start(claim["pid"]) != claim["process"]:
        return
    if parse_iso(claim["until"]) <= clock.now():
        return
    raise RefusedError(
        f"{name} is held by {claim['holder']} since {claim['since']}",
        remedy=f"wait for it to end; if it is gone, it is taken over after {claim['until']}",
    )
