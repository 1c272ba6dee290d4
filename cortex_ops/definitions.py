"""The Dagster entry: `dagster dev` and `dagster job execute -m cortex_ops.definitions`.

`build_definitions` is the seam that tests and other deployments use; everything it needs is an argument.
"""

from __future__ import annotations

import os
import sys
import warnings

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from cortex_ops import pipeline
from cortex_ops.defs import backups, images, jobs, release
from cortex_ops.defs.console import keep_terminal, speak_plainly
from cortex_ops.defs.event_log import executing_one_run
from cortex_ops.defs.executor import supervised_executor
from cortex_ops.defs.schedules import schedules
from cortex_ops.defs.seam import Seam, Steps, WireFor, wiring_of
from cortex_ops.defs.sensors import sensors
from cortex_ops.kernel.collector import collect_rarely
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.interrupts import never_miss
from cortex_ops.kernel.settings import Settings, load_settings
from cortex_ops.stack.environments import deployed
from cortex_ops.stack.load import load_stack

# Which of Dagster's features are previews is said in docs/decisions.md, once; not on every run's console.
for _category in (dg.PreviewWarning, dg.BetaWarning):
    warnings.filterwarnings("ignore", category=_category)


def build_definitions(
    *,
    settings: Settings | None = None,
    wire_for: WireFor | None = None,
    steps: Steps = pipeline,
    executor: dg.ExecutorDefinition | None = None,
    crons: dict[str, str] | None = None,
) -> dg.Definitions:
    """Everything on the page. `crons` overrides schedules by job. Raises `StackError` for a broken stack file."""
    settings = settings or load_settings()
    stack = load_stack(settings.stack_file)
    seam = Seam(
        stack=stack,
        environments=dg.StaticPartitionsDefinition(deployed(stack)),
        wire_for=wire_for or wiring_of(settings),
        steps=steps,
        settings=settings,
    )
    return dg.Definitions(
        assets=[
            images.source_asset(seam),
            images.image_assets(seam),
            release.manifest_asset(seam),
            release.rollout_assets(seam),
            release.tests_asset(seam),
            release.release_asset(seam),
            release.drift_spec(seam),
            *backups.backup_assets(seam),
        ],
        jobs=[*jobs.asset_jobs(seam), *jobs.op_jobs(seam)],
        schedules=schedules(seam, crons),
        sensors=sensors(seam),
        executor=executor or supervised_executor,
    )


def load(*, serving: bool, executing: bool) -> dg.Definitions:
    """The definitions of this checkout. A broken stack file ends a process that came to do something, with its
    located errors and exit code 2; a page that is served loads all the same, and shows them."""
    keep_terminal()
    if not serving:
        executing_one_run()
        collect_rarely()
        never_miss(DagsterExecutionInterruptedError)
    try:
        if executing and not os.environ.get("DAGSTER_HOME"):
            raise InputError(
                "DAGSTER_HOME is not set, so Dagster would record this run in a folder that it deletes",
                remedy="run `make setup` and work in its checkout, or set DAGSTER_HOME to the checkout's .dagster",
            )
        return build_definitions()
    except OpsError as error:
        for line in error.lines():
            print(line, file=sys.stderr)
        if not serving:
            sys.exit(error.exit_code)
        return broken(error)


def broken(error: OpsError) -> dg.Definitions:
    """One asset that says what is wrong, in the place where people look."""
    text = "\n".join(f"- `{line.strip()}`" for line in [error.message, *error.details])

    @dg.asset(
        key="stack_file_is_broken",
        group_name="broken",
        description=f"The stack file does not load:\n\n{text}\n\nCorrect it and reload this location.",
    )
    def stack_file_is_broken() -> None:
        raise dg.Failure(description="\n".join(error.lines()), allow_retries=False)

    return dg.Definitions(assets=[stack_file_is_broken])


_command = sys.argv[1:3]
_executing = _command in (["job", "execute"], ["asset", "materialize"])
if _executing:
    sys.excepthook = speak_plainly(sys.excepthook)
defs = load(serving=_command in (["api", "grpc"], ["code-server", "start"]), executing=_executing)
