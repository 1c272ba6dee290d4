"""What every definition is built from: the model, the environments, the wiring, and the steps that it calls.

The seam that tests use: a `Seam` with stand-in steps gives the same graph. Nothing is decided here.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import dagster as dg

from cortex_ops.defs.console import console
from cortex_ops.kernel.progress import SILENT
from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.values import Verdict
from cortex_ops.release.records import Record
from cortex_ops.results import BuildStep, HealthStep, ReleaseStep, RenderStep, RolloutStep, SourceResult, UpkeepStep
from cortex_ops.stack.schema import Stack
from cortex_ops.wiring import Wiring, wire

if TYPE_CHECKING:
    from cortex_ops.backup import BackupResult, DrillResult

WireFor = Callable[[str], Wiring]


class Steps(Protocol):
    """What the definitions call; the module `cortex_ops.pipeline` is one."""

    def check_environment(self, w: Wiring, env: str) -> None: ...
    def source(self, w: Wiring) -> SourceResult: ...
    def build(self, w: Wiring, env: str | None = None, from_ref: str = "") -> BuildStep: ...
    def render(self, w: Wiring, env: str) -> RenderStep: ...
    def preflight(self, w: Wiring, env: str) -> list[str]: ...
    def rollout(self, w: Wiring, env: str) -> RolloutStep: ...
    def integration_tests(self, w: Wiring, env: str) -> Verdict: ...
    def release(self, w: Wiring, env: str) -> ReleaseStep: ...
    def rollback(self, w: Wiring, env: str, to: int = 0) -> ReleaseStep: ...
    def settle(self, w: Wiring, env: str) -> list[Record]: ...
    def interrupt(self, w: Wiring, env: str) -> None: ...
    def health(self, w: Wiring, env: str) -> HealthStep: ...
    def upkeep(self, w: Wiring, env: str) -> UpkeepStep: ...
    def backup(self, w: Wiring, env: str) -> BackupResult: ...
    def drill(self, w: Wiring, env: str, set_id: str | None = None) -> DrillResult: ...


@dataclass(frozen=True)
class Seam:
    """`environments` are the partitions: those that releases go to. `wire_for` takes a run id."""

    stack: Stack
    environments: dg.PartitionsDefinition
    wire_for: WireFor
    steps: Steps
    settings: Settings

    def look(self) -> Wiring:
        """For schedules and sensors, which read and say nothing."""
        return wire(self.settings, progress=SILENT)


def wiring_of(settings: Settings) -> WireFor:
    """The ordinary wiring: progress to the terminal, or to whatever captures the run's output. The steps of a run
    that share a process share its parts, too: one look at the stack file, one connection to the engine."""
    return functools.lru_cache(1)(lambda run_id: wire(settings, run_id=run_id, progress=console(sys.stderr)))
