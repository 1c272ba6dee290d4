"""The Dagster entry: `dagster dev` and `dagster job execute -m cortex_ops.definitions`.

`build_definitions` is the seam that tests and other deployments use; everything it needs is an argument.
"""

from __future__ import annotations

import sys
import warnings

import dagster as dg

from cortex_ops.defs import assets, backups, jobs
from cortex_ops.defs.automation import schedules
from cortex_ops.defs.step import WireFor, default_wire
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.settings import Settings, load_settings
from cortex_ops.stack.environments import deployed
from cortex_ops.stack.load import load_stack

# Which of Dagster's features are previews is said in docs/decisions.md, once; not on every run's console.
for _category in (dg.PreviewWarning, dg.BetaWarning):
    warnings.filterwarnings("ignore", category=_category)


def build_definitions(
    *,
    settings: Settings | None = None,
    wire_for: WireFor = default_wire,
    executor: dg.ExecutorDefinition | None = None,
    crons: dict[str, str] | None = None,
) -> dg.Definitions:
    """Everything on the page. Raises `StackError` for a broken stack file."""
    stack = load_stack((settings or load_settings()).stack_file)
    envs = dg.StaticPartitionsDefinition(deployed(stack))
    graph: list[dg.AssetsDefinition] = [
        assets.source_asset(wire_for),
        assets.image_assets(stack, wire_for),
        assets.manifest_asset(stack, envs, wire_for),
        assets.rollout_assets(stack, envs, wire_for),
        assets.tests_asset(stack, envs, wire_for),
        assets.release_asset(envs, wire_for),
    ]
    if stack.backup is not None:
        graph += backups.backup_assets(stack, envs, wire_for)
    return dg.Definitions(
        assets=graph,
        jobs=[*jobs.asset_jobs(envs, stack.backup is not None), *jobs.op_jobs(wire_for, envs)],
        schedules=schedules(stack, crons),
        executor=executor or dg.in_process_executor,
    )


def _definitions() -> dg.Definitions:
    try:
        return build_definitions()
    except OpsError as error:
        for line in error.lines():
            print(line, file=sys.stderr)
        if "dev" in sys.argv or "code-server" in sys.argv or "grpc" in sys.argv:
            # The page should load and say what is wrong, not lose its code location.
            return _broken(error)
        sys.exit(error.exit_code)


def _broken(error: OpsError) -> dg.Definitions:
    text = "\n".join(f"- {line}" for line in [error.message, *error.details])

    @dg.asset(
        key="stack_file_is_broken",
        group_name="broken",
        description=f"The stack file does not load:\n\n{text}\n\nCorrect it and reload this location.",
    )
    def stack_file_is_broken() -> None:
        raise dg.Failure(description=text)

    return dg.Definitions(assets=[stack_file_is_broken])


defs = _definitions()
