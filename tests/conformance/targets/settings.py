"""The targets that the conformance suite judges, each with releases to try: good ones and one that never runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cortex_ops import pipeline
from cortex_ops.kernel.values import ImageLock, Placed, Placement
from cortex_ops.release.migrations import Migrations
from cortex_ops.targets.compose.target import ComposeTarget
from cortex_ops.targets.protocol import Target
from tests.support.cluster import cluster_project, images
from tests.support.engine import ROOT
from tests.support.stand_in_target import STOP_START, StandInTarget, World, a_placed
from tests.support.tiny import Tiny, tiny_project

ENV = "local"
BROKEN = "broken"


class Setting(Protocol):
    """One environment. Every `target` is a process of its own on it."""

    def target(self, run_id: str) -> Target: ...
    def placed(self, seq: int, content: str) -> Placed:
        """A release that is built and rendered; `BROKEN` never becomes ready. Odd ones are in slot a."""
        ...

    def alone(self, seq: int) -> Placed:
        """A release whose services never run twice."""
        ...

    def die_holding_the_lease(self, run_id: str) -> None:
        """A process takes the lease as `run_id` and is gone without giving it back."""
        ...


def placement(seq: int) -> Placement:
    return Placement(seq=seq, slot="a" if seq % 2 else "b")


class InMemory:
    def __init__(self) -> None:
        self.world = World()

    def target(self, run_id: str) -> StandInTarget:
        return StandInTarget(self.world)

    def placed(self, seq: int, content: str) -> Placed:
        return a_placed(placement(seq), content)

    def alone(self, seq: int) -> Placed:
        return a_placed(placement(seq), STOP_START)

    def die_holding_the_lease(self, run_id: str) -> None:
        self.target(run_id).lease.acquire(run_id, "someone")
        self.world.alive.discard(run_id)


HOLD = """\
import sys
from cortex_ops.wiring import wire
lease = wire(run_id=sys.argv[1]).target("local").lease
lease.image = sys.argv[2]
lease.acquire(sys.argv[1], "someone")
"""


HOLD_ON_CLUSTER = """\
import sys
from cortex_ops.wiring import wire
wire(run_id=sys.argv[1]).target("local").lease.acquire(sys.argv[1], "someone")
"""


class OfTiny:
    """The tiny system on something real. `hold` is a program that takes the lease and ends."""

    hold = ""
    deadline = 20

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        tiny.stack({"environments": {ENV: {"start_deadline": self.deadline}}})
        self.built: dict[str, ImageLock] = {}

    def target(self, run_id: str) -> Target:
        return self.tiny.wire(run_id).target(ENV)

    def placed(self, seq: int, content: str) -> Placed:
        inputs = pipeline.Inputs(lock=self._lock(content), stack_hash="", migrations=Migrations())
        renderer = pipeline.Renderer(self.tiny.wire(), ENV, inputs)
        versions, _ = renderer.secrets()
        return renderer.place(placement(seq), versions)

    def alone(self, seq: int) -> Placed:
        self.tiny.stack({"environments": {ENV: {"strategy": "recreate"}}})
        try:
            return self.placed(seq, "alone")
        finally:
            self.tiny.stack({"environments": {ENV: {"strategy": None}}})

    def _lock(self, content: str) -> ImageLock:
        if content not in self.built:
            self.tiny.answer(content, mode="crash" if content == BROKEN else "ok")
            self.built[content] = pipeline.build(self.tiny.wire(), ENV).lock
        return self.built[content]

    def die_holding_the_lease(self, run_id: str) -> None:
        argv = [sys.executable, "-c", self.hold, run_id, *self._needed()]
        subprocess.run(argv, env=self.tiny.environ(), cwd=ROOT, check=True, timeout=60)

    def _needed(self) -> list[str]:
        return []


class Compose(OfTiny):
    """On the real engine, whose lease is a container and takes an image."""

    hold = HOLD

    def target(self, run_id: str) -> Target:
        target = super().target(run_id)
        assert isinstance(target, ComposeTarget)
        target.lease.image = self._image
        return target

    @property
    def _image(self) -> str:
        return self._lock("one").images["edge"].reference()

    def _needed(self) -> list[str]:
        return [self._image]


class OnCluster(OfTiny):
    """In a namespace of the real cluster."""

    hold = HOLD_ON_CLUSTER
    deadline = 30


@contextmanager
def in_memory(folder: Path) -> Iterator[Setting]:
    yield InMemory()


@contextmanager
def compose(folder: Path) -> Iterator[Setting]:
    with tiny_project(folder) as tiny:
        yield Compose(tiny)


@contextmanager
def on_cluster(folder: Path) -> Iterator[Setting]:
    with images(folder / "registry") as address, cluster_project(folder / "project", address) as tiny:
        yield OnCluster(tiny)
