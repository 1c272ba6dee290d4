"""Start a compose project and wait until it is ready; give up as soon as a container is beyond hope, and say why."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.clock import Clock
from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.process import Completed
from cortex_ops.targets.compose.observed import Seen, last_lines, look_at_project


class Compose(Protocol):
    """`docker compose` for one project; see `ComposeTarget`."""

    def __call__(self, *args: str, what: str, deadline: float, watch: Callable[[], None]) -> Completed: ...


class Starter:
    """`deadline` in seconds from the start; `restart_budget` is how often a container may crash."""

    def __init__(self, engine: Engine, clock: Clock, *, deadline: float, restart_budget: int) -> None:
        self.engine = engine
        self.clock = clock
        self.deadline = deadline
        self.restart_budget = restart_budget

    def up(self, project: str, compose: Compose, *extra: str) -> None:
        """`compose up --wait` with more arguments. Raises `OpsError` with the container's own reason and last lines,
        `DeadlineError` with the names of those that are not ready."""
        began = self.clock.monotonic()
        # What was already broken is what `up` is about to mend; it is doomed only if it breaks anew.
        broken = {s.id: s.moment for s in look_at_project(self.engine, project) if doomed(s, self.restart_budget)}

        def watch() -> None:
            for seen in look_at_project(self.engine, project):
                reason = doomed(seen, self.restart_budget)
                if reason and broken.get(seen.id) != seen.moment:
                    raise self._failure(reason, seen)
            if self.clock.monotonic() - began > self.deadline:
                raise self._late(project)

        pace = _Paced(watch, self.clock, 0.5)
        # The flag order lets `docker compose … up --wait api-r3` be typed for one service.
        seconds = str(int(self.deadline) + 15)
        try:
            compose(
                *("up", "--detach", "--wait", "--wait-timeout", seconds, "--no-build", "--remove-orphans", *extra),
                what=f"starting {project}",
                deadline=self.deadline + 30,
                watch=pace,
            )
        except OpsError as error:
            raise self._explain(error, project) from error

    def _failure(self, reason: str, seen: Seen) -> OpsError:
        log = last_lines(self.engine, seen.id, 25)
        details = [f"last lines of {seen.service}:", *(f"  {line}" for line in log)] if log else []
        return OpsError(reason, details=details)  # no word of `docker logs`: a candidate that fails is removed

    def _late(self, project: str) -> DeadlineError:
        waiting = [s for s in look_at_project(self.engine, project) if not s.ready()]
        names = ", ".join(f"{s.service} ({f'{s.status} {s.health}'.strip()})" for s in waiting) or "compose itself"
        details = [
            line for s in waiting for line in [f"last lines of {s.service}:", *last_lines(self.engine, s.id, 15)]
        ]
        return DeadlineError(f"{names} did not become ready within {self.deadline:g} s", details=details)

    def _explain(self, error: OpsError, project: str) -> OpsError:
        """Compose's own failures in one sentence; a doomed container behind it is the better explanation."""
        text = "\n".join([error.message, *error.details])
        port = re.search(r"(\d+\.\d+\.\d+\.\d+):(\d+).*(already allocated|already in use)", text)
        if port:
            return OpsError(
                f"port {port[2]} of {port[1]} is already taken; {project} needs it",
                remedy="stop what holds it, or give the environment another port under `ports:` in the stack file",
            )
        if "no space left" in text:
            return OpsError(f"no space left on the engine's disk while starting {project}", remedy="free some space")
        containers = look_at_project(self.engine, project)
        for seen in containers:
            reason = doomed(seen, self.restart_budget)
            if reason and reason not in error.message:
                return self._failure(reason, seen)
        found = given_up(text, containers)
        return self._failure(*found) if found else error


def doomed(seen: Seen, budget: int) -> str | None:
    """Why this container will not become ready, or None while there is hope. `budget` is in restarts."""
    if seen.error:
        return f"{seen.service} cannot start: {seen.error}"
    if seen.oom:
        return f"{seen.service} was killed: it used more memory than its limit of {seen.fields.memory} bytes"
    if seen.status == "dead":
        return f"{seen.service} is dead"
    if seen.restarts > budget:
        return f"{seen.service} keeps crashing (exit {seen.exit_code}, {seen.restarts} restarts)"
    if seen.status == "exited" and seen.fields.restart in ("no", "on-failure"):
        return f"{seen.service} exited with code {seen.exit_code}"
    if seen.health == "unhealthy":
        return f"{seen.service} is unhealthy: {seen.probe or 'its health check fails without a word'}"
    return None


def given_up(said: str, containers: list[Seen]) -> tuple[str, Seen] | None:
    """Why compose (`said`) no longer waits for a container that is not doomed to us, and which one. The engine calls
    one that has crashed unhealthy until its next start, and compose takes its word."""
    blamed = re.search(r"container (\S+) (?:is unhealthy|exited)", said)
    seen = next((one for one in containers if blamed and one.name == blamed[1]), None)
    if seen is None:
        return None
    if seen.restarts:
        return f"{seen.service} keeps crashing ({seen.restarts} restarts)", seen
    if seen.status != "running":
        return f"{seen.service} {seen.status} with code {seen.exit_code}", seen
    return f"{seen.service} is unhealthy: {seen.probe or 'its health check fails without a word'}", seen


class _Paced:
    """Calls through at most once per `interval` seconds."""

    def __init__(self, call: Callable[[], None], clock: Clock, interval: float) -> None:
        self.call, self.clock, self.interval = call, clock, interval
        self.last = clock.monotonic()

    def __call__(self) -> None:
        if self.clock.monotonic() - self.last >= self.interval:
            self.last = self.clock.monotonic()
            self.call()
