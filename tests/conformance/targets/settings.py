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
from tests.support.cluster import ClusterTiny, cluster_project, images
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


class Compose:
    """The tiny system on the real engine."""

    def __init__(self, tiny: Tiny) -> None:
        self.tiny = tiny
        tiny.stack({"environments": {ENV: {"start_deadline": 20}}})
        self.built: dict[str, ImageLock] = {}

    def target(self, run_id: str) -> Target:
        target = self.tiny.wire(run_id).target(ENV)
        assert isinstance(target, ComposeTarget)
        target.lease.image = self._image
        return target

    @property
    def _image(self) -> str:
        return self._lock("one").images["edge"].reference()

    def placed(self, seq: int, content: str) -> Placed:
        return _placed(self.tiny, self._lock(content), seq)

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
        argv = [sys.executable, "-c", HOLD, run_id, self._image]
        subprocess.run(argv, env=self.tiny.environ(), cwd=ROOT, check=True, timeout=60)


HOLD_ON_CLUSTER = """\
import sys
from cortex_ops.wiring import wire
wire(run_id=sys.argv[1]).target("local").lease.acquire(sys.argv[1], "someone")
"""


class OnCluster:
    """The tiny system in a namespace of the real cluster."""

    def __init__(self, tiny: ClusterTiny) -> None:
        self.tiny = tiny
        tiny.stack({"environments": {ENV: {"start_deadline": 30}}})
        self.built: dict[str, ImageLock] = {}

    def target(self, run_id: str) -> Target:
        return self.tiny.target(run_id)

    def placed(self, seq: int, content: str) -> Placed:
        if content not in self.built:
            self.tiny.answer(content, mode="crash" if content == BROKEN else "ok")
            self.built[content] = pipeline.build(self.tiny.wire(), ENV).lock
        return _placed(self.tiny, self.built[content], seq)

    def alone(self, seq: int) -> Placed:
        self.tiny.stack({"environments": {ENV: {"strategy": "recreate"}}})
        try:
            return self.placed(seq, "alone")
        finally:
            self.tiny.stack({"environments": {ENV: {"strategy": None}}})

    def die_holding_the_lease(self, run_id: str) -> None:
        argv = [sys.executable, "-c", HOLD_ON_CLUSTER, run_id]
        subprocess.run(argv, env=self.tiny.environ(), cwd=ROOT, check=True, timeout=60)


def _placed(tiny: Tiny, lock: ImageLock, seq: int) -> Placed:
    inputs = pipeline.Inputs(lock=lock, stack_hash="", migrations=Migrations())
    renderer = pipeline.Renderer(tiny.wire(), ENV, inputs)
    versions, _ = renderer.secrets()
    return renderer.place(placement(seq), versions)


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
