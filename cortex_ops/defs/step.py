"""How a Dagster op runs a step of the pipeline: its wiring, its environment, its failure as one sentence.

What a run began and did not conclude is undone when the run ends, however it ends; see `executor`.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg

from cortex_ops.defs import runs
from cortex_ops.defs.console import append, log_file
from cortex_ops.defs.seam import Seam
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.process import end_all
from cortex_ops.kernel.redact import redact
from cortex_ops.stack.environments import deployed
from cortex_ops.wiring import Wiring

PARTITION = "dagster/partition"
FROM, TO, SET = "cortex/from", "cortex/to", "cortex/set"
Context = dg.AssetExecutionContext | dg.OpExecutionContext


@dataclass(frozen=True)
class Transaction:
    """What a run may have to undo: it took the lease of `env`, or was about to."""

    seam: Seam
    w: Wiring
    env: str
    job: str


_open: dict[str, Transaction] = {}
_supervised = False


@contextlib.contextmanager
def supervision(run_id: str) -> Iterator[None]:
    """The whole of a run in this process: whatever its steps left open is undone at the end."""
    global _supervised
    before, _supervised = _supervised, True
    try:
        yield
    finally:
        _supervised = before
        undo(run_id)


def undo(run_id: str) -> None:
    """Undo what the run began and did not conclude. What fails here is left to the next run's settling."""
    end_all()
    begun = _open.pop(run_id, None)
    if begun is None:
        return
    say = begun.w.progress.say
    try:
        begun.seam.steps.interrupt(begun.w, begun.env)
    except OpsError as error:
        say(f"  the rest is left to the next run, or to `cortex-ops settle -e {begun.env}`: {error.message}")
    except Exception:
        append(run_id, traceback.format_exc())
        say(f"  the rest is left to the next run, or to `cortex-ops settle -e {begun.env}`")


def wants_environment(context: Context) -> bool:
    """Whether this run touches an environment: building images alone does not."""
    layer = context.job_def.asset_layer
    keys = context.run.asset_selection or layer.executable_asset_keys
    if not keys:
        return True  # a job of ops
    return any(layer.get(key).partitions_def is not None for key in keys if layer.has(key))


def environment(context: Context, seam: Seam, w: Wiring) -> str:
    """The run's environment, checked before anything is done."""
    env = context.run.tags.get(PARTITION, "")
    if not env:
        known = deployed(seam.stack)
        raise InputError(
            f"job {context.job_name} needs an environment; there are {', '.join(known)}",
            remedy=f"""add --tags '{{"{PARTITION}": "{known[0]}"}}'""",
        )
    seam.steps.check_environment(w, env)
    return env


@contextlib.contextmanager
def running(context: Context, seam: Seam, *, begins: bool = False, concludes: bool = False) -> Iterator[Wiring]:
    """Run a step; `OpsError` becomes a `Failure` after its lines were shown.

    `begins` marks steps that may hold the environment's lease: from then on the run has something to undo, until
    a step that `concludes` ended well.
    """
    w = seam.wire_for(context.run_id)
    runs.stamp(context.instance, context.run_id)
    if begins and (env := context.run.tags.get(PARTITION, "")):
        _open[context.run_id] = Transaction(seam, w, env, context.job_name)
    try:
        yield w
        if concludes:
            _open.pop(context.run_id, None)
    except OpsError as error:
        raise failure(context, w, error) from None
    except (dg.Failure, GeneratorExit):
        raise
    except Exception as error:  # a defect of ours: one line for people, the trace for the file
        append(context.run_id, traceback.format_exc())
        sentence = OpsError(
            f"unexpected {type(error).__name__} in {context.op.name}: {error}",
            remedy=f"please report it with {log_file(context.run_id)}",
        )
        raise failure(context, w, sentence) from None
    except BaseException:
        w.progress.say("· told to end: undoing what this run began", style="red")
        end_all()
        undo(context.run_id)
        w.progress.say(
            f"✗ {context.job_name} was told to end before it was done; what it began is undone", style="red"
        )
        w.progress.say(f"  everything that was logged: {log_file(context.run_id)}")
        raise
    finally:
        if not _supervised and context.run_id in _open and _failed():
            undo(context.run_id)


def _failed() -> bool:
    import sys

    return sys.exc_info()[0] is not None


def failure(context: Context, w: Wiring, error: OpsError) -> dg.Failure:
    """Show the error so that its cause is among the last lines of the console."""
    first, *more = [line for text in error.lines() for line in text.splitlines()] or ["no cause was given"]
    remedy = [more.pop()] if error.remedy and more else []
    for line in more:
        w.progress.say(line)
    w.progress.say(f"✗ {context.job_name} failed: {first}", style="bold red")
    for line in remedy:
        w.progress.say(line)
    w.progress.say(f"  everything that was logged: {log_file(context.run_id)}")
    return dg.Failure(
        description=redact("\n".join(error.lines())),
        metadata={"cause": redact(error.message), "remedy": redact(error.remedy or "—")},
        allow_retries=False,
    )
