"""What a release leaves in the store, as create-once objects.

`releases/<env>/<seq>/intent.json` is written before anything changes, `verdict.json` when the tests ended,
`outcome.json` last; `down.json` when a person took it down. An intent without an outcome must be settled. Nothing
here is ever overwritten.
"""

from __future__ import annotations

from typing import Literal

from cortex_ops.kernel.values import ImageLock, Placement, Value, Verdict


class Intent(Value):
    """What a run set out to do. `identity` is the hash of the bundle at its neutral placement."""

    environment: str
    seq: int
    kind: Literal["release", "rollback"]
    run_id: str
    actor: str
    started_at: str
    revision: str
    dirty: bool
    identity: str
    placement: Placement
    previous: int  # the sequence that was live (0: none)
    returns_to: int = 0  # rollback only: the sequence whose bundle comes back
    lock: ImageLock
    secret_versions: dict[str, str]
    stack_hash: str = ""  # `stacks/<hash>.yaml` in the store is the stack file that this was rendered from
    schema_head: int = 0  # the newest migration that this release carries
    schema_breaking: int = 0  # the newest *breaking* one; older releases than it cannot come back
    promoted_from: str = ""
    tested_before_traffic: bool = True  # false where a rolling update gives it traffic before its tests have run


class Outcome(Value):
    """How it ended and what serves now (`serves` is the sequence whose containers take the traffic)."""

    state: Literal["promoted", "rolled_back", "failed"]
    serves: int
    finished_at: str
    seconds: float
    cause: str = ""
    remedy: str = ""
    settled_by: str = ""  # the run that settled it, when it was not its own
    backup: str = ""  # the newest backup set at that moment
    timings: dict[str, float] = {}


class TakenDown(Value):
    """A live release whose containers a person removed (`cortex-ops down`), keeping its data."""

    at: str
    actor: str


class Record(Value):
    """One line of the history."""

    intent: Intent
    outcome: Outcome | None = None
    verdict: Verdict | None = None

    @property
    def seq(self) -> int:
        return self.intent.seq

    def state(self) -> str:
        return self.outcome.state if self.outcome else "unfinished"
