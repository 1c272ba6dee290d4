"""How a Dagster op runs a step of the pipeline: its wiring, its progress, its failure as one sentence.

Dagster's own records and traces go to a file, which the last lines of a failure name; the console is for people.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg

from cortex_ops import pipeline
from cortex_ops.kernel.clock import SYSTEM, iso
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.process import end_all
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.redact import redact
from cortex_ops.kernel.settings import load_settings
from cortex_ops.stack.environments import deployed
from cortex_ops.wiring import Wiring, wire

PARTITION = "dagster/partition"
FROM, TO, SET = "cortex/from", "cortex/to", "cortex/set"
WireFor = Callable[[str], Wiring]


def default_wire(run_id: str) -> Wiring:
    return wire(run_id=run_id, progress=Progress(sys.stderr))


def log_file(run_id: str) -> Path:
    return load_settings().state / "logs" / f"{run_id}.log"


class RunFile(logging.Handler):
    """Dagster's own records of a run, each run in a file of its own. Named by `dagster.yaml`."""

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        append(str(meta.get("run_id") or "no-run"), f"{record.levelname} {record.getMessage()}")


def append(run_id: str, text: str) -> None:
    """Add lines to the run's file; a full disk must not fail the run for its log."""
    path = log_file(run_id)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{iso(SYSTEM.now())} {redact(text)}\n")


def environment(context: dg.AssetExecutionContext | dg.OpExecutionContext, w: Wiring) -> str:
    """The run's environment, checked before anything is done."""
    env = context.run.tags.get(PARTITION, "")
    if not env:
        known = ", ".join(deployed(w.stack))
        raise InputError(
            f"job {context.job_name} needs an environment; there are {known}",
            remedy=f"""add --tags '{{"{PARTITION}": "local"}}'""",
        )
    pipeline.check_environment(w, env)
    return env


@contextlib.contextmanager
def running(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, wire_for: WireFor, *, leased: bool = False
) -> Iterator[Wiring]:
    """Run a step. `OpsError` becomes a `Failure` after its lines were shown; an interruption undoes what this run
    began (when it could hold a lease) and ends every program that it started."""
    w = wire_for(context.run_id)
    try:
        yield w
    except OpsError as error:
        raise failure(context, w, error) from None
    except dg.Failure:
        raise
    except Exception as error:  # a defect of ours: one line for people, the trace for the file
        path = log_file(context.run_id)
        sentence = OpsError(
            f"unexpected {type(error).__name__} in {context.op.name}: {error}", remedy=f"please report it with {path}"
        )
        append(context.run_id, traceback.format_exc())
        raise failure(context, w, sentence) from None
    except BaseException:
        w.progress.say("✗ told to end; undoing what this run began", style="red")
        if leased:
            with contextlib.suppress(OpsError):
                pipeline.interrupt(w, environment(context, w))
        end_all()
        raise


def failure(context: dg.AssetExecutionContext | dg.OpExecutionContext, w: Wiring, error: OpsError) -> dg.Failure:
    """Show the error so that its cause is among the last lines of the console."""
    *rest, first = [*reversed(error.lines()[1:]), error.message]
    for line in reversed(rest):
        w.progress.say(line)
    w.progress.say(f"✗ {context.job_name} failed: {first}", style="bold red")
    w.progress.say(f"  everything that was logged: {log_file(context.run_id)}")
    return dg.Failure(
        description=redact("\n".join(error.lines())),
        metadata={"cause": redact(error.message), "remedy": redact(error.remedy or "—")},
        allow_retries=False,
    )
