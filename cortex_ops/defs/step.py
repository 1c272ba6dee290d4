"""How a Dagster op runs a step of the pipeline: its wiring, its environment, its failure as one sentence."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator

import dagster as dg

from cortex_ops.defs import runs, transaction
from cortex_ops.defs.console import append, log_file
from cortex_ops.defs.seam import Seam
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.redact import redact
from cortex_ops.stack.environments import deployed
from cortex_ops.wiring import Wiring

PARTITION = "dagster/partition"
FROM, TO, SET = "cortex/from", "cortex/to", "cortex/set"
CHANGES = "cortex/changes"  # one run that changes an environment at a time; see dagster.yaml
Context = dg.AssetExecutionContext | dg.OpExecutionContext


def wants_environment(context: Context) -> bool:
    """Whether this run touches an environment: building images alone does not."""
    layer = context.job_def.asset_layer
    keys = context.run.asset_selection or layer.executable_asset_keys
    return any(layer.get(key).partitions_def is not None for key in keys if layer.has(key))


def environment(context: Context, seam: Seam, w: Wiring) -> str:
    """The run's environment, checked before anything is done."""
    env = context.run.tags.get(PARTITION, "")
    if not env:
        known = deployed(seam.stack)
        raise InputError(
            f"job {context.job_name} needs an environment, one of: {', '.join(known)}",
            remedy=f"""add --tags '{{"{PARTITION}": "{known[0]}"}}'""",
        )
    seam.steps.check_environment(w, env)
    return env


@contextlib.contextmanager
def running(context: Context, seam: Seam, *, begins: bool = False, concludes: bool = False) -> Iterator[Wiring]:
    """Run a step; `OpsError` becomes a `Failure` after its lines were shown.

    A step that `begins` may take the environment's lease: from then on the run has something to undo, until one
    that `concludes` has ended well.
    """
    run_id, env = context.run.run_id, context.run.tags.get(PARTITION, "")
    w = seam.wire_for(run_id)
    runs.stamp(context.instance, run_id)
    if begins and env:
        transaction.begin(run_id, seam, w, env)
    try:
        yield w
    except OpsError as error:
        transaction.step_failed(run_id)
        raise failure(context, w, error) from None
    except dg.Failure:
        transaction.step_failed(run_id)
        raise
    except Exception as error:  # a defect of ours: one line for people, the trace for the file
        append(run_id, traceback.format_exc())
        transaction.step_failed(run_id)
        sentence = OpsError(
            f"unexpected {type(error).__name__} in {_op(context)}: {error}",
            remedy=f"please report it with {log_file(run_id)}",
        )
        raise failure(context, w, sentence) from None
    except GeneratorExit:  # Dagster gave the step up
        transaction.step_failed(run_id)
        raise
    except BaseException:
        transaction.interrupted(run_id, w.progress, context.job_name)
        transaction.step_failed(run_id)
        raise
    if concludes:
        transaction.conclude(run_id)


def _op(context: Context) -> str:
    inner = context.op_execution_context if isinstance(context, dg.AssetExecutionContext) else context
    return str(inner.op.name)


def failure(context: Context, w: Wiring, error: OpsError) -> dg.Failure:
    """Show the error so that its cause is among the last lines of the console."""
    first, *more = [line for text in error.lines() for line in text.splitlines()] or ["no cause was given"]
    remedy = [more.pop()] if error.remedy and more else []
    for line in more:
        w.progress.say(line)
    w.progress.say(f"✗ {context.job_name} failed: {first}", style="bold red")
    for line in remedy:
        w.progress.say(line)
    w.progress.say(f"  everything that was logged: {log_file(context.run.run_id)}")
    return dg.Failure(
        description=redact("\n".join(error.lines())),
        metadata={"cause": redact(error.message), "remedy": redact(error.remedy or "—")},
        allow_retries=False,
    )
