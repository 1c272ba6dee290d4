"""What steps hand to each other, as objects in the store under `runs/<run id>/`."""

from __future__ import annotations

from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.values import ImageLock, Value
from cortex_ops.release.migrations import Migrations
from cortex_ops.wiring import Wiring


class Inputs(Value):
    """All that a rendering depends on, but for the placement; written by `build`, read by later steps."""

    lock: ImageLock
    stack_hash: str
    migrations: Migrations
    promoted_from: str = ""


def put(w: Wiring, name: str, value: Value) -> None:
    w.store.put_if_absent(f"runs/{w.run_id}/{name}.json", value.to_json())


def read_inputs(w: Wiring) -> Inputs:
    data = w.store.get(f"runs/{w.run_id}/inputs.json")
    if data is None:
        raise OpsError(f"run {w.run_id} has no built images", remedy="run the whole job, not single steps of it")
    return Inputs.from_json(data)


def check_environment(w: Wiring, env: str) -> None:
    """Raise `InputError` naming the known environments before anything runs."""
    environment = w.environment(env)
    if environment.mode == "development":
        raise InputError(
            f"environment {env} is for development: nothing is released to it",
            remedy=f"render it: cortex-ops render -e {env} -o DIR; then docker compose up --watch there",
        )
