"""A lease held in the engine: a created, never-started container whose name only one creator can win.

Labels carry the owner; the heartbeat is a counter file put into the container, because labels cannot change.
A takeover removes by id, then creates by name, so that two takers cannot both win.
"""

from __future__ import annotations

import io
import os
import tarfile

from cortex_ops.adapters import engine_images, registry
from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.targets.lease import Held, LeaseBase

LABEL = "org.cortex-ops."
COUNTER = "cortex-ops-heartbeat"


class ComposeLease(LeaseBase):
    """`image` gives any image id of the engine; the container never runs."""

    def __init__(self, engine: Engine, prefix: str, image: str = "", clock: Clock = SYSTEM) -> None:
        super().__init__(prefix, clock)
        self.engine = engine
        self.name = f"{prefix}-lease"
        self.image = image
        self._count = 0

    def _read(self) -> Held | None:
        from docker.errors import NotFound

        try:
            current = self.engine.guard(self.engine.client.api.inspect_container, self.name)
        except NotFound:
            return None
        labels = current["Config"]["Labels"] or {}
        facts = {key.removeprefix(LABEL): value for key, value in labels.items() if key.startswith(LABEL)}
        return Held(str(current["Id"]), facts)

    def _create(self, facts: dict[str, str], *, pulled: bool = False) -> bool:
        """An image that is only in its registry yet is pulled once."""
        if not self.image:
            raise OpsError(f"no image to hold the lease of {self.what} with", remedy="build first")
        from docker.errors import NotFound

        labels = {f"{LABEL}{key}": value for key, value in facts.items()}
        labels |= {LABEL + "project": self.what, LABEL + "role": "lease"}
        api = self.engine.client.api
        try:
            made = self.engine.guard(
                api.create_container, self.image, command=["true"], name=self.name, labels=labels
            )
        except NotFound as error:
            if "@" in self.image and not pulled:
                with registry.logged_in(self.engine):
                    engine_images.pull(self.engine, self.image)
                return self._create(facts, pulled=True)
            raise OpsError(
                f"image {self.image}, which the live release runs, is not in the engine any more",
                remedy="release again",
            ) from error
        except OpsError as error:
            if "already in use" in error.message or "Conflict" in error.message:
                return False
            raise
        self._id, self._count = str(made["Id"]), 0
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
            info = tarfile.TarInfo(COUNTER)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        self.engine.client.api.put_archive(self._id, "/", buffer.getvalue())

    def _heartbeat(self, identity: str) -> bytes:
        from docker.errors import DockerException

        try:
            chunks, _ = self.engine.client.api.get_archive(identity, f"/{COUNTER}")
            return b"".join(chunks)[512:1024]
        except DockerException:
            return b""
