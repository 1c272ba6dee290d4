"""A stand-in for a target, in memory: for the release machine's own tests, where every call can be cut.

It keeps the same promises that the conformance suite asks of the real ones (idempotent removal, a switch that
reads back). `die_at` makes the n-th call, and every later one of that process, end as if the process was
killed; `told_at` makes the n-th one alone raise, as a signal does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.values import Bundle, Change, ImageLock, ImageRef, Placed, Placement
from cortex_ops.targets.protocol import Holder, JobResult, Live, Pruned

STOP_START = "stop_start"  # the content of a release whose services never run twice
KNOWN_JOBS = {"integration-tests", "migrate", "cortex-os-migrate"}


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


class Told(BaseException):
    """The process was told to end: it goes on to undo what it began."""


@dataclass
class World:
    """What outlives processes: the containers and the switch."""

    running: dict[int, Placed] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)
    aside: set[int] = field(default_factory=set)  # releases of which services were stopped for another's sake
    live: Live = field(default_factory=Live)
    stores: bool = False
    shared: str = ""  # whose rendering stores and proxy are of
    holder: str = ""
    alive: set[str] = field(default_factory=set)
    jobs: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


class StandInLease:
    def __init__(self, target: StandInTarget) -> None:
        self.target = target
        self.owner = ""

    def acquire(self, owner: str, actor: str, *, wait: float = 0.0) -> None:
        self.target.call("lease.acquire")
        world = self.target.world
        if world.holder and world.holder != owner and world.holder in world.alive:
            raise RefusedError(f"held by run {world.holder}")
        world.holder = self.owner = owner
        world.alive.add(owner)

    def resume(self, owner: str) -> None:
        self.target.call("lease.resume")
        self.owner = owner
        self.check()

    def check(self) -> None:
        self.target.call("lease.check")
        if self.target.world.holder != self.owner:
            raise OpsError(f"the lease was taken by {self.target.world.holder or 'nobody'}")

    @contextlib.contextmanager
    def keep(self) -> Iterator[None]:
        yield

    def release(self) -> None:
        self.target.call("lease.release")
        if self.target.world.holder == self.owner:
            self.target.world.holder = ""

    def holder(self) -> Holder | None:
        return Holder(owner=self.target.world.holder) if self.target.world.holder else None

    def dead(self) -> bool:
        return self.target.world.holder not in self.target.world.alive


class StandInTarget:
    tests_before_traffic = True

    def __init__(self, world: World, *, die_at: int = 0, told_at: int = 0, fail: str = "") -> None:
        self.world = world
        self.calls: list[str] = []
        self.die_at = die_at
        self.told_at = told_at
        self.fail = fail
        self.during: dict[str, Callable[[], None]] = {}  # what others do while a call runs
        self.lease = StandInLease(self)

    def call(self, name: str) -> None:
        self.calls.append(name)
        if self.die_at and len(self.calls) >= self.die_at:
            raise Killed(name)
        self.during.pop(name, lambda: None)()
        if len(self.calls) == self.told_at:
            raise Told(name)
        if self.fail == name:
            raise OpsError(f"{name} failed")

    def difference(self, placed: Placed) -> str:
        return ""

    def capabilities(self) -> dict[str, str]:
        return {}

    def preflight(self, placed: Placed) -> list[str]:
        self.call("preflight")
        return []

    def lock_findings(self, lock: ImageLock) -> list[str]:
        images = lock.images.items()
        return [f"{n}: its image is only in engine {r.engine_id}, this is e" for n, r in images if r.engine_id != "e"]

    def live(self) -> Live:
        self.call("live")
        return self.world.live

    def drift(self, placed: Placed, serves: int) -> list[Change]:
        self.call("drift")
        if serves not in self.world.running:
            return [Change(object=f"r{serves}", field="container", expected="running", found="absent")]
        return list(self.world.changes)

    def deliver_secrets(self, placed: Placed, values: dict[str, dict[str, Secret]]) -> None:
        self.call("deliver_secrets")

    def prepare(self, placed: Placed, repair: Sequence[Change] = ()) -> None:
        self.world.shared = "half"
        self.call("prepare")
        self.world.stores = True
        self.world.shared = placed.identity
        self.world.changes = []

    def restore(self, before: Placed, tried: Placed) -> None:
        self.call("restore")
        self.world.shared = before.identity

    def step_aside(self, before: Placed, candidate: Placed) -> None:
        self.call("step_aside")
        if STOP_START in (before.identity, candidate.identity):
            self.world.aside.add(before.placement.seq)
        self.call("step_aside done")

    def step_back(self, before: Placed, candidate: Placed) -> None:
        self.call("step_back")
        if STOP_START in (before.identity, candidate.identity):
            self.world.aside.add(candidate.placement.seq)
            self.world.aside.discard(before.placement.seq)

    def apply(self, placed: Placed) -> None:
        self.world.running[placed.placement.seq] = placed  # it may be half there when we die
        self.call("apply")
        if placed.identity == "broken":
            self.world.broken.add(placed.placement.seq)
            raise OpsError(f"api-r{placed.placement.seq} keeps crashing")

    def offer(self, placed: Placed) -> None:
        self.call("offer")
        self.world.live = self.world.live.model_copy(update={"candidate": placed.placement.slot})

    def run_job(
        self, placed: Placed, job: str, *, deadline: float, on_line: Callable[[str], None] | None = None
    ) -> JobResult:
        self.call(f"job {job}")
        self.world.jobs.append(job)
        if job not in KNOWN_JOBS:
            return JobResult(code=None, output="", seconds=0.0, cause=f"no job {job}")
        if self.fail == job:
            return JobResult(code=1, output="asked\nerror: it was said to fail\n    at line 3\n", seconds=0.0)
        return JobResult(code=0, output="asked", seconds=0.0)

    def present(self, seq: int) -> bool:
        self.call("present")
        return seq in self.world.running and seq not in self.world.broken | self.world.aside

    def switch(self, placed: Placed) -> None:
        self.call("switch")
        self.world.live = Live(release=f"r{placed.placement.seq}", slot=placed.placement.slot)
        self.call("switch done")

    def close(self) -> None:
        self.call("close")
        self.world.live = Live()

    def retract_candidate(self) -> None:
        self.call("retract")
        self.world.live = self.world.live.model_copy(update={"candidate": ""})

    def remove(self, seq: int) -> Pruned:
        self.call("remove")
        self.world.running.pop(seq, None)
        self.world.broken.discard(seq)
        self.world.aside.discard(seq)
        return Pruned(removed=(f"r{seq}",))

    def remove_volumes(self, keep: set[str]) -> Pruned:
        return Pruned()

    def releases(self) -> list[int]:
        self.call("releases")
        return sorted(self.world.running)

    def reap(self, alive: str) -> Pruned:
        self.call("reap")
        return Pruned()

    def logs(self, seq: int, lines: int = 25) -> dict[str, list[str]]:
        return {f"api-r{seq}": ["started"]} if seq in self.world.running else {}

    def endpoints(self) -> dict[str, str]:
        return {}


def a_lock(content: str = "one") -> ImageLock:
    return ImageLock(
        source_revision=content,
        source_dirty=False,
        images={"api": ImageRef(fingerprint=content, image_id=f"sha256:{content}", engine_id="e")},
    )


def a_placed(placement: Placement, content: str = "one") -> Placed:
    return Placed(
        placement=placement,
        bundle=Bundle(target="compose", environment="local", files={"x": content}),
        lock=a_lock(content),
        secret_versions={},
        identity=content,
    )


class MemoryStore:
    """A store in memory, with the same create-once rule."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def list(self, prefix: str) -> list[str]:
        return sorted(k for k in self.objects if k.startswith(prefix))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self.objects.setdefault(key, data) is data

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)
