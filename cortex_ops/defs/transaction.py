"""What a run has begun and must not leave behind: remembered by its steps, undone when the run ends without it.

Steps end in many ways (a failure, a signal between two steps, a full disk under Dagster's own storage), so
the executor asks once, at the end of the run, what is still open.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field

from cortex_ops.defs.console import append, log_file
from cortex_ops.defs.seam import Seam
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import end_all
from cortex_ops.kernel.progress import Progress
from cortex_ops.wiring import Wiring


@dataclass(frozen=True)
class Begun:
    """A run that took the lease of `env`, or was about to."""

    seam: Seam
    w: Wiring
    env: str


@dataclass
class State:
    """Of this process. `interrupted` maps run id → where to say so, and its job."""

    begun: dict[str, Begun] = field(default_factory=dict)
    interrupted: dict[str, tuple[Progress, str]] = field(default_factory=dict)
    supervised: bool = False


_state = State()


def begin(run_id: str, seam: Seam, w: Wiring, env: str) -> None:
    """From here on the run has something to undo."""
    _state.begun[run_id] = Begun(seam, w, env)


def conclude(run_id: str) -> None:
    """The run's work is recorded and final."""
    _state.begun.pop(run_id, None)


def interrupted(run_id: str, progress: Progress, job: str) -> None:
    """The run was told to end; the last lines will say so, after the undoing."""
    progress.say("· told to end", style="red")
    _state.interrupted[run_id] = (progress, job)


def step_failed(run_id: str) -> None:
    """Called by a step that ends badly. Where no executor of ours watches the run, undo now."""
    if not _state.supervised:
        close(run_id)


@contextlib.contextmanager
def supervised(run_id: str) -> Iterator[None]:
    """A whole run in this process: whatever its steps left open is undone at the end."""
    before, _state.supervised = _state.supervised, True
    try:
        yield
    finally:
        _state.supervised = before
        close(run_id)


def close(run_id: str) -> None:
    """End what runs, undo what is open, and say the last words of an interrupted run."""
    end_all()
    begun = _state.begun.pop(run_id, None)
    left = _undo(run_id, begun) if begun is not None else ""
    told = _state.interrupted.pop(run_id, None)
    if told is None:
        if begun is not None and left:
            begun.w.progress.say(f"  {left}", style="red")
        return
    progress, job = told
    done = left or ("what it began is undone" if begun is not None else "it had changed nothing")
    progress.say(f"✗ {job} was told to end before it was done; {done}", style="bold red")
    progress.say(f"  everything that was logged: {log_file(run_id)}")


def _undo(run_id: str, begun: Begun) -> str:
    """Empty, or what is left to do."""
    later = f"the next run, or `cortex-ops settle -e {begun.env}`, completes the undoing"
    try:
        begun.seam.steps.interrupt(begun.w, begun.env)
    except OpsError as error:
        return f"{later} ({error.message})"
    except Exception:
        append(run_id, traceback.format_exc())
        return later
    return ""
