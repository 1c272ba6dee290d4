"""Dagster's in-process executor, which also undoes at the end of a run what its steps left open.

A signal between two steps, or a failure of Dagster's own storage, reaches no step; it reaches this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor

from cortex_ops.defs.transaction import supervised


class SupervisedExecutor(InProcessExecutor):
    """Steps run one after the other in the run's own process."""

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[Any]:
        with supervised(plan_context.run_id):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process")
def supervised_executor(_context: dg.InitExecutorContext) -> SupervisedExecutor:
    """Steps run in the run's own process; an interrupted run undoes what it began."""
    return SupervisedExecutor(retries=RetryMode.ENABLED)
