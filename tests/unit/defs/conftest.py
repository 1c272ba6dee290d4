"""A stand-in project and its definitions; every run in this process, on an instance in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from cortex_ops.definitions import build_definitions
from cortex_ops.defs.seam import Seam
from cortex_ops.kernel.progress import Progress
from cortex_ops.stack.environments import deployed
from cortex_ops.stack.load import load_stack
from cortex_ops.wiring import Wiring, wire
from tests.support import stand_in_project
from tests.support.stand_in_steps import StandInSteps


class Place:
    """The project, its definitions, and an instance that keeps what runs did."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps: StandInSteps = stand_in_project.create(root)
        self.settings = stand_in_project.settings(root)
        self.definitions = build_definitions(settings=self.settings, steps=self.steps)
        self.instance = dg.DagsterInstance.ephemeral()
        self.release = dg.AssetKey("release")

    def seam(self) -> Seam:
        stack = load_stack(self.settings.stack_file)
        envs = dg.StaticPartitionsDefinition(deployed(stack))
        return Seam(stack, envs, lambda run_id: wire(self.settings, run_id=run_id), self.steps, self.settings)

    def wiring(self, run_id: str, progress: Progress) -> Wiring:
        return wire(self.settings, run_id=run_id, progress=progress)

    def run(self, job: str, env: str | None = "local", **tags: str) -> dg.ExecuteInProcessResult:
        place = {} if env is None else {"dagster/partition": env}
        named = {key.replace("_", "/", 1): value for key, value in tags.items()}
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, tags={**place, **named}, raise_on_error=False
        )

    def cause(self, result: dg.ExecuteInProcessResult) -> str:
        """The first failed step's own sentence."""
        event = next(e for e in result.all_events if e.is_step_failure)
        data = event.step_failure_data.user_failure_data
        assert data is not None and data.description
        return data.description

    def materialised(self, result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
        return {
            event.asset_key.to_user_string(): {k: v.value for k, v in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        }

    def checks(self, result: dg.ExecuteInProcessResult) -> dict[str, bool]:
        return {
            f"{one.asset_key.to_user_string()}:{one.check_name}": one.passed
            for one in result.get_asset_check_evaluations()
        }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("CORTEX_OPS_PROJECT", str(tmp_path / "project"))
    yield Place(tmp_path / "project")
