"""What the leases of all targets share: who holds it, when a holder counts as dead, how it is taken over.

A holder is dead when its process is gone (same host), or when its heartbeat did not change for a TTL on the
observer's own clock. How a lease is kept is each target's own: a container, an object of the API server.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex_ops.kernel.clock import Clock, iso
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.process import process_start
from cortex_ops.targets.protocol import Holder

TTL = 30.0
BEAT = 5.0


@dataclass(frozen=True)
class Held:
    """A lease that somebody holds. `identity` is of this holding alone: the next one has another."""

    identity: str
    facts: dict[str, str]

    @property
    def owner(self) -> str:
        return self.facts.get("owner", "")

    def holder(self) -> Holder:
        facts = self.facts
        return Holder(
            owner=self.owner,
            actor=facts.get("actor", ""),
            host=facts.get("hostname", ""),
            pid=int(facts.get("pid") or 0),
            since=facts.get("since", ""),
        )


class LeaseBase(ABC):
    """See `targets.protocol.Lease`. `what` is the environment, as messages name it."""

    def __init__(self, what: str, clock: Clock) -> None:
        self.what = what
        self.clock = clock
        self._id = ""
        self._seen: tuple[str, bytes, float] | None = None

    # -- how it is kept --------------------------------------------------------------------------------------
    @abstractmethod
    def _read(self) -> Held | None: ...

    @abstractmethod
    def _create(self, facts: dict[str, str]) -> bool:
        """True when we won it, and `_id` is its identity; false when another one was there."""

    @abstractmethod
    def _remove(self, identity: str) -> None:
        """Remove this very holding; nothing when it is gone or another's by now."""

    @abstractmethod
    def _beat(self) -> None:
        """Change the heartbeat of the lease `_id`."""

    @abstractmethod
    def _heartbeat(self, identity: str) -> bytes: ...

    # -- taking and giving up --------------------------------------------------------------------------------
    def acquire(self, owner: str, actor: str, *, wait: float = 0.0) -> None:
        until = self.clock.monotonic() + wait
        while True:
            current = self._read()
            if current is None:
                if self._create(self._facts(owner, actor)):
                    return
                continue
            if current.owner == owner:
                self._id = current.identity
                self._beat()
                return
            if self._is_dead(current, patient=wait > 0):
                self._remove(current.identity)
                continue
            if self.clock.monotonic() >= until:
                holder = current.holder()
                raise RefusedError(
                    f"{self.what} is being changed by run {holder.owner} "
                    f"({holder.actor} on {holder.host}, pid {holder.pid}, since {holder.since})",
                    remedy="wait for it to end, or end it; a dead run is taken over by itself",
                )
            self.clock.sleep(0.5)

    def _facts(self, owner: str, actor: str) -> dict[str, str]:
        return {
            "owner": owner,
            "actor": actor,
            "host": host_identity(),
            "hostname": socket.gethostname(),
            "pid": str(os.getpid()),
            "pid-start": process_start(os.getpid()) or "",
            "since": iso(self.clock.now()),
        }

    def resume(self, owner: str) -> None:
        current = self._read()
        if current is None or current.owner != owner:
            raise self._lost(current)
        self._id = current.identity
        self._beat()

    def check(self) -> None:
        current = self._read()
        if current is None or current.identity != self._id:
            raise self._lost(current)

    def _lost(self, current: Held | None) -> OpsError:
        how = f"taken by run {current.owner}" if current else "removed by somebody"
        return OpsError(f"the lease of {self.what} was {how}; this run stops before it changes more")

    @contextlib.contextmanager
    def keep(self) -> Iterator[None]:
        stop = threading.Event()

        def renew() -> None:
            while not stop.wait(BEAT):
                with contextlib.suppress(Exception):  # a missed beat is not fatal; check() decides
                    self._beat()

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(BEAT)

    def release(self) -> None:
        if self._id:
            self._remove(self._id)
            self._id = ""

    # -- looking ---------------------------------------------------------------------------------------------
    def holder(self) -> Holder | None:
        current = self._read()
        return current.holder() if current else None

    def dead(self) -> bool:
        current = self._read()
        return current is None or self._is_dead(current, patient=False)

    def _is_dead(self, current: Held, *, patient: bool) -> bool:
        if current.facts.get("host") == host_identity():
            pid = int(current.facts.get("pid") or 0)
            return process_start(pid) != current.facts.get("pid-start")
        # Another host: only its heartbeat can tell, on our own clock. The first sighting starts the count.
        beat = self._heartbeat(current.identity)
        now = self.clock.monotonic()
        if self._seen is None or self._seen[:2] != (current.identity, beat):
            self._seen = (current.identity, beat, now)
            if not patient:
                self._watch(current.identity, beat)
        return self._seen is not None and self.clock.monotonic() - self._seen[2] >= TTL

    def _watch(self, identity: str, beat: bytes) -> None:
        """Look for up to a TTL whether a foreign holder's heartbeat changes; returns at once when it does."""
        began = self.clock.monotonic()
        while self.clock.monotonic() - began < TTL:
            self.clock.sleep(1.0)
            now = self._heartbeat(identity)
            if now != beat:
                self._seen = (identity, now, self.clock.monotonic())
                return


def host_identity() -> str:
    """Equal only where pids can be compared: the same boot and the same pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text().strip()}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()
