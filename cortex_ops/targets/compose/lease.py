"""A lease held in the engine: a created, never-started container whose name only one creator can win.

Labels carry the owner; the heartbeat is a counter file put into the container, because labels cannot change.
A holder is dead when its process is gone (same host), or when its counter did not move for a TTL on the
observer's own clock. A takeover removes by id, then creates by name, so that two takers cannot both win.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cortex_ops.adapters import engine_images, registry
from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.clock import SYSTEM, Clock, iso
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.process import process_start
from cortex_ops.targets.protocol import Holder

LABEL = "org.cortex-ops."
TTL = 30.0
BEAT = 5.0


def host_identity() -> str:
    """Equal only where pids can be compared: the same boot and the same pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    try:
        return f"{boot.read_text().strip()}:{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


class ComposeLease:
    """See `targets.protocol.Lease`. `image` gives any image id of the engine; the container never runs."""

    def __init__(self, engine: Engine, prefix: str, image: str = "", clock: Clock = SYSTEM) -> None:
        self.engine = engine
        self.prefix = prefix
        self.name = f"{prefix}-lease"
        self.image = image
        self.clock = clock
        self._id = ""
        self._owner = ""
        self._count = 0
        self._seen: tuple[str, bytes, float] | None = None

    # -- taking and giving up ------------------------------------------------------------------------------
    def acquire(self, owner: str, actor: str, *, wait: float = 0.0) -> None:
        until = self.clock.monotonic() + wait
        told = False
        while True:
            current = self._inspect()
            if current is None:
                if self._create(owner, actor):
                    return
                continue
            if self._owner_of(current) == owner:
                self._id, self._owner = str(current["Id"]), owner
                self._beat()
                return
            if self._is_dead(current, patient=wait > 0):
                self._remove(str(current["Id"]))
                continue
            if self.clock.monotonic() >= until:
                holder = _holder(current)
                raise RefusedError(
                    f"{self.prefix} is being changed by run {holder.owner} "
                    f"({holder.actor} on {holder.host}, pid {holder.pid}, since {holder.since})",
                    remedy="wait for it to end, or end it; a dead run is taken over by itself",
                )
            told = told or True
            self.clock.sleep(0.5)

    def check(self) -> None:
        current = self._inspect()
        if current is None or current["Id"] != self._id:
            by = f" by run {_holder(current).owner}" if current else ""
            raise OpsError(f"the lease of {self.prefix} was taken{by}; this run stops before it changes more")

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

    # -- looking -------------------------------------------------------------------------------------------
    def holder(self) -> Holder | None:
        current = self._inspect()
        return _holder(current) if current else None

    def dead(self) -> bool:
        current = self._inspect()
        return current is None or self._is_dead(current, patient=False)

    def _is_dead(self, current: dict[str, Any], *, patient: bool) -> bool:
        labels = current["Config"]["Labels"] or {}
        if labels.get(LABEL + "host") == host_identity():
            pid = int(labels.get(LABEL + "pid") or 0)
            return process_start(pid) != labels.get(LABEL + "pid-start")
        # Another host: only its counter can tell, on our own clock. The first sighting starts the count.
        beat = self._read_beat(str(current["Id"]))
        now = self.clock.monotonic()
        if self._seen is None or self._seen[:2] != (current["Id"], beat):
            self._seen = (str(current["Id"]), beat, now)
            if not patient:
                self._watch(str(current["Id"]), beat)
        return self._seen is not None and self.clock.monotonic() - self._seen[2] >= TTL

    def _watch(self, identity: str, beat: bytes) -> None:
        """Look for up to a TTL whether a foreign holder's counter moves; returns at once when it does."""
        began = self.clock.monotonic()
        while self.clock.monotonic() - began < TTL:
            self.clock.sleep(1.0)
            now = self._read_beat(identity)
            if now != beat:
                self._seen = (identity, now, self.clock.monotonic())
                return

    # -- the container -------------------------------------------------------------------------------------
    def _inspect(self) -> dict[str, Any] | None:
        from docker.errors import NotFound

        try:
            return self.engine.guard(self.engine.client.api.inspect_container, self.name)
        except NotFound:
            return None

    def _create(self, owner: str, actor: str, *, pulled: bool = False) -> bool:
        """True when we won the name. An image that is only in its registry yet is pulled once."""
        if not self.image:
            raise OpsError(f"no image to hold the lease of {self.prefix} with", remedy="build first")
        labels = {
            LABEL + "project": self.prefix,
            LABEL + "role": "lease",
            LABEL + "owner": owner,
            LABEL + "actor": actor,
            LABEL + "host": host_identity(),
            LABEL + "hostname": socket.gethostname(),
            LABEL + "pid": str(os.getpid()),
            LABEL + "pid-start": process_start(os.getpid()) or "",
            LABEL + "since": iso(self.clock.now()),
        }
        from docker.errors import NotFound

        api = self.engine.client.api
        try:
            made = self.engine.guard(
                api.create_container, self.image, command=["true"], name=self.name, labels=labels
            )
        except NotFound as error:
            if "@" in self.image and not pulled:
                with registry.logged_in(self.engine):
                    engine_images.pull(self.engine, self.image)
                return self._create(owner, actor, pulled=True)
            raise OpsError(
                f"image {self.image}, which the live release runs, is not in the engine any more",
                remedy="release again",
            ) from error
        except OpsError as error:
            if "already in use" in error.message or "Conflict" in error.message:
                return False
            raise
        self._id, self._owner, self._count = str(made["Id"]), owner, 0
        return True

    def _remove(self, identity: str) -> None:
        from docker.errors import NotFound

        try:
            self.engine.guard(self.engine.client.api.remove_container, identity, force=True)
        except NotFound:
            return
        except OpsError as error:
            if "already in progress" not in error.message:
                raise

    def _beat(self) -> None:
        self._count += 1
        data = f"{os.getpid()} {self._count}".encode()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            info = tarfile.TarInfo("cortex-ops-heartbeat")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        self.engine.client.api.put_archive(self._id, "/", buffer.getvalue())

    def _read_beat(self, identity: str) -> bytes:
        from docker.errors import DockerException

        try:
            chunks, _ = self.engine.client.api.get_archive(identity, "/cortex-ops-heartbeat")
            return b"".join(chunks)[512:1024]
        except DockerException:
            return b""

    @staticmethod
    def _owner_of(current: dict[str, Any]) -> str:
        return str((current["Config"]["Labels"] or {}).get(LABEL + "owner", ""))


def _holder(current: dict[str, Any]) -> Holder:
    labels = current["Config"]["Labels"] or {}
    return Holder(
        owner=labels.get(LABEL + "owner", ""),
        actor=labels.get(LABEL + "actor", ""),
        host=labels.get(LABEL + "hostname", ""),
        pid=int(labels.get(LABEL + "pid") or 0),
        since=labels.get(LABEL + "since", ""),
    )
