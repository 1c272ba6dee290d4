"""Retries, dry runs, logs, and the lock that is made of objects."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from cortex_ops.kernel.clock import ManualClock
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.store import TransientError
from cortex_ops.store.local import LocalStore
from cortex_ops.store.locks import lease
from cortex_ops.store.wrappers import Retrying


class Flaky(LocalStore):
    """Fails the first calls with the given errors."""

    def __init__(self, root: Path, *errors: OpsError) -> None:
        super().__init__(root)
        self.errors = list(errors)

    def get(self, key: str) -> bytes | None:
        if self.errors:
            raise self.errors.pop(0)
        return super().get(key)


def test_a_transient_failure_is_tried_again_with_growing_waits(tmp_path: Path) -> None:
    clock = ManualClock()
    store = Retrying(Flaky(tmp_path, *[TransientError("busy")] * 3), clock=clock)
    assert store.get("a") is None
    assert clock.seconds == 0.5 + 1 + 2


def test_a_lasting_failure_is_not_tried_again(tmp_path: Path) -> None:
    clock = ManualClock()
    with pytest.raises(OpsError, match="denied"):
        Retrying(Flaky(tmp_path, OpsError("denied")), clock=clock).get("a")
    assert clock.seconds == 0


def test_a_failure_that_stays_is_given_up(tmp_path: Path) -> None:
    flaky = Flaky(tmp_path, *[TransientError("busy")] * 9)
    with pytest.raises(TransientError):
        Retrying(flaky, clock=ManualClock()).get("a")
    assert len(flaky.errors) == 5


_held: list[object] = []  # a context that nobody refers to is closed, and would release its lock


def _hold(store: LocalStore, holder: str, clock: ManualClock) -> None:
    context = lease(store, "x", holder=holder, seconds=60, clock=clock)
    context.__enter__()
    _held.append(context)


def _claim(store: LocalStore, clock: ManualClock, **changes: object) -> None:
    """Leave a lock behind as a run elsewhere would that never released it."""
    _hold(store, "run 1", clock)
    key = store.list("locks/x/")[-1]
    claim = json.loads(store.get(key) or b"")
    store.delete(key)
    store.put_if_absent(key, json.dumps({**claim, **changes}).encode())


def test_a_lock_of_objects_whose_holder_is_elsewhere_holds_until_its_announced_end(tmp_path: Path) -> None:
    store, clock = LocalStore(tmp_path), ManualClock()
    _claim(store, clock, host="elsewhere")
    clock.instant += timedelta(seconds=59)
    with (
        pytest.raises(RefusedError, match="x is held by run 1"),
        lease(store, "x", holder="2", seconds=1, clock=clock),
    ):
        pass
    clock.instant += timedelta(seconds=1)
    with lease(store, "x", holder="2", seconds=1, clock=clock):
        pass


def test_a_lock_of_objects_whose_holder_died_on_this_host_is_taken_over_at_once(tmp_path: Path) -> None:
    store, clock = LocalStore(tmp_path), ManualClock()
    _claim(store, clock, pid=2**22 + 1)
    with lease(store, "x", holder="2", seconds=1, clock=clock):
        assert len(store.list("locks/x/")) == 1, "old generations are cleared"


def test_a_contender_that_was_overtaken_while_it_looked_does_not_hold(tmp_path: Path) -> None:
    clock = ManualClock()

    class Slow(LocalStore):
        """Sees the lock free; before it can claim it, two others have held it, and one still does."""

        overtaken = False

        def put_if_absent(self, key: str, data: bytes) -> bool:
            if not self.overtaken:
                self.overtaken = True
                quick = LocalStore(tmp_path)
                with lease(quick, "x", holder="quick", seconds=60, clock=clock):
                    pass
                _hold(quick, "third", clock)
            return super().put_if_absent(key, data)

    with (
        pytest.raises(RefusedError, match="taken by another"),
        lease(Slow(tmp_path), "x", holder="slow", seconds=60, clock=clock),
    ):
        pass
    with (
        pytest.raises(RefusedError, match="held by third"),
        lease(LocalStore(tmp_path), "x", holder="4", seconds=60, clock=clock),
    ):
        pass
