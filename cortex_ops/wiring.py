"""Builds the parts from settings: which store, which engine, which target for which environment.

Everything is made on first use, so that importing this module and running `cortex-ops validate` cost nothing.
No decisions about releases live here.
"""

from __future__ import annotations

import functools
import os
import uuid
from pathlib import Path

from cortex_ops.adapters.cluster import Cluster
from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.process import RUN_VARIABLE
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.settings import Settings, load_settings
from cortex_ops.kernel.store import StreamStore
from cortex_ops.release.history import History
from cortex_ops.stack import naming
from cortex_ops.stack.environments import Environment, resolve
from cortex_ops.stack.load import load_stack, monorepo
from cortex_ops.stack.schema import Stack
from cortex_ops.targets.protocol import Target


class Wiring:
    """The parts of one run. `run_id` labels everything that the run starts."""

    def __init__(
        self, settings: Settings, *, progress: Progress | None = None, clock: Clock = SYSTEM, run_id: str = ""
    ) -> None:
        self.settings = settings
        self.progress = progress or Progress()
        self.clock = clock
        self.run_id = run_id or settings.run_id or uuid.uuid4().hex
        # Children inherit it, so that a later run can find those that a SIGKILL of this one left behind.
        os.environ[RUN_VARIABLE] = self.run_id

    @functools.cached_property
    def stack(self) -> Stack:
        """The stack file's model; `StackError` (located, exit 2) when it is broken."""
        return load_stack(self.settings.stack_file)

    @functools.cached_property
    def store(self) -> StreamStore:
        from cortex_ops.store import open_store

        return open_store(self.settings)

    @functools.cached_property
    def engine(self) -> Engine:
        return Engine(self.settings)

    def environment(self, name: str) -> Environment:
        """Overrides applied; `InputError` naming the known ones for any other name."""
        return resolve(self.stack, name)

    def prefix(self, env: str) -> str:
        """What every object of the environment starts with on its target: `cortex-local`."""
        return naming.prefix(self.stack.name, env)

    def cluster(self, env: str) -> Cluster:
        """The one that the environment names."""
        return Cluster(self.settings.kubeconfig, self.environment(env).kubernetes.context, clock=self.clock)

    def namespace(self, env: str) -> str:
        """Of the cluster, where the environment is."""
        return naming.namespace(self.environment(env).kubernetes.namespace, self.stack.name, env)

    def target(self, env: str) -> Target:
        environment = self.environment(env)
        if environment.target == "kubernetes":
            from cortex_ops.targets.kubernetes.target import KubernetesTarget

            return KubernetesTarget(
                self.cluster(env),
                self.stack.name,
                env,
                self.namespace(env),
                run_id=self.run_id,
                progress=self.progress,
                clock=self.clock,
                start_deadline=environment.start_deadline,
                restart_budget=environment.restart_budget,
                force=environment.drift == "correct",
            )
        from cortex_ops.targets.compose.target import ComposeTarget

        return ComposeTarget(
            self.engine,
            self.prefix(env),
            self.settings.state / "work" / env,
            run_id=self.run_id,
            progress=self.progress,
            clock=self.clock,
            start_deadline=environment.start_deadline,
            restart_budget=environment.restart_budget,
        )

    def history(self, env: str) -> History:
        return History(self.store, env)

    @property
    def monorepo(self) -> Path:
        """The folder of the monorepo that is built; `InputError` when there is none."""
        return monorepo(self.stack, self.settings.stack_file)


def wire(
    settings: Settings | None = None, *, progress: Progress | None = None, clock: Clock = SYSTEM, run_id: str = ""
) -> Wiring:
    """The entry for `cli` and `defs`."""
    return Wiring(settings or load_settings(), progress=progress, clock=clock, run_id=run_id)
