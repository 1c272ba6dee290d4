"""What a release needs from wherever it runs. Implementations: `targets.compose` (and Kubernetes, later).

A target shows what runs and changes it; it decides nothing about history. Every call has a deadline of its
own and raises `OpsError` whose first line names the object and the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from cortex_ops.kernel.redact import Secret, redact
from cortex_ops.kernel.values import Change, ImageLock, Placed, Value


class Live(Value):
    """What the switch says: the release that takes traffic (`r12`, empty: none) and its slot."""

    release: str = ""
    slot: str = ""
    candidate: str = ""


class JobResult(Value):
    """A one-shot job's end: exit code (None: it never started or was cut off), its output, seconds."""

    code: int | None
    output: str
    seconds: float
    cause: str = ""

    def tail(self, lines: int = 25) -> list[str]:
        """The last non-empty lines of its output, redacted."""
        return [line for line in redact(self.output).splitlines() if line.strip()][-lines:]


class Pruned(Value):
    """What was removed: kind and name of each object."""

    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class Holder(Value):
    """Who holds a lease, as far as the target can tell."""

    owner: str
    actor: str = ""
    host: str = ""
    pid: int = 0
    since: str = ""


class Lease(Protocol):
    """An exclusive right to change one environment."""

    def acquire(self, owner: str, actor: str, *, wait: float = 0.0) -> None:
        """Take it (again, when `owner` already holds it). A dead holder is taken over; a live one is waited
        for up to `wait` seconds, then `RefusedError` names it."""
        ...

    def resume(self, owner: str) -> None:
        """Take up what `owner` took in an earlier process. Raises when it was removed or is another's by now."""
        ...

    def check(self) -> None:
        """Raise when it is no longer ours. Called before each mutation."""
        ...

    def keep(self) -> AbstractContextManager[None]:
        """A block during which a thread renews it."""
        ...

    def release(self) -> None: ...

    def holder(self) -> Holder | None:
        """The present holder, dead or alive; None when it is free."""
        ...

    def dead(self) -> bool:
        """Whether the present holder is known to be gone."""
        ...


class Target(Protocol):
    """One environment on one engine or cluster."""

    tests_before_traffic: bool
    """Whether a candidate is tested before users reach it (beside the old release), or after it took its place."""

    @property
    def lease(self) -> Lease:
        """The exclusive right to change this environment."""
        ...

    def capabilities(self) -> dict[str, str]:
        """Facts of the target that a rendering depends on; recorded with the run."""
        ...

    def preflight(self, placed: Placed) -> list[str]:
        """Everything that would make `apply` fail, found before anything changes; one sentence each."""
        ...

    def live(self) -> Live:
        """What the switch says now."""
        ...

    def drift(self, placed: Placed, serves: int) -> list[Change]:
        """Every owned field of the live objects that differs from the rendering; empty: exactly equal."""
        ...

    def difference(self, placed: Placed) -> str:
        """What applying it would change on the target, as markdown; empty where the renderings say it all."""
        ...

    def deliver_secrets(self, placed: Placed, values: dict[str, dict[str, Secret]]) -> None: ...

    def prepare(self, placed: Placed, repair: Sequence[Change] = ()) -> None:
        """Bring up what outlives releases (stores, proxy), healthy, repairing drifted ones."""
        ...

    def restore(self, before: Placed, tried: Placed) -> None:
        """Bring what outlives releases back to how `before` renders it, after `tried` may have changed it."""
        ...

    def step_aside(self, before: Placed, candidate: Placed) -> None:
        """Stop those services of `before` which must not run beside the candidate's."""
        ...

    def step_back(self, before: Placed, candidate: Placed) -> None:
        """Undo `step_aside`: stop the candidate's, start those of `before` and wait until they are ready."""
        ...

    def apply(self, placed: Placed) -> None:
        """Start the candidate beside what runs and wait until it is ready; fail fast with the reasons."""
        ...

    def run_job(
        self, placed: Placed, job: str, *, deadline: float, on_line: Callable[[str], None] | None = None
    ) -> JobResult:
        """Run a one-shot job of the release to its end; never raises for the job's own failure."""
        ...

    def present(self, seq: int) -> bool:
        """Whether the release's services are there and ready (it could take traffic now)."""
        ...

    def offer(self, placed: Placed) -> None:
        """Open the candidate's entrance, where the tests come in, to this release."""
        ...

    def close(self) -> None:
        """Take all traffic away: nothing is live (a first release that failed after its switch)."""
        ...

    def switch(self, placed: Placed) -> None:
        """Give the traffic to this release; verified from the switch itself."""
        ...

    def retract_candidate(self) -> None:
        """Point the candidate's entrance at nothing."""
        ...

    def remove(self, seq: int) -> Pruned:
        """Remove one release's own objects, and nothing else. Idempotent."""
        ...

    def remove_volumes(self, keep: set[str]) -> Pruned:
        """Remove delivered secrets that nothing in `keep` names; never data."""
        ...

    def releases(self) -> list[int]:
        """Sequences that have objects on the target."""
        ...

    def reap(self, alive: str) -> Pruned:
        """Remove the one-shot objects that runs left when they ended, but those of the run `alive`. For the holder of
        the lease: nobody else works here. Whoever ended a client may see the engine make its object only later."""
        ...

    def logs(self, seq: int, lines: int = 25) -> dict[str, list[str]]:
        """The last lines of each of the release's services, unhealthy ones first."""
        ...

    def lock_findings(self, lock: ImageLock) -> list[str]:
        """Images of the lock that this target cannot run, with reasons (another engine, wrong platform)."""
        ...

    def endpoints(self) -> dict[str, str]:
        """Published addresses by routed service: `{"api": "http://127.0.0.1:8080"}`."""
        ...
