"""Reading and writing a release history in a store. What is live is derived, never kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import Placed, Value, Verdict
from cortex_ops.release.records import Intent, Outcome, Record, TakenDown

Read = TypeVar("Read", bound=Value)


class History:
    """The releases of one environment."""

    def __init__(self, store: Store, environment: str) -> None:
        self.store = store
        self.environment = environment

    def _key(self, seq: int, name: str) -> str:
        return f"releases/{self.environment}/{seq:06d}/{name}.json"

    def sequences(self) -> list[int]:
        """All sequences that have an intent, ascending."""
        keys = self.store.list(f"releases/{self.environment}/")
        found = {key.split("/")[2] for key in keys if key.endswith("/intent.json")}
        return sorted(int(seq) for seq in found if seq.isdigit())

    def _get(self, seq: int, name: str, kind: type[Read]) -> Read | None:
        key = self._key(seq, name)
        data = self.store.get(key)
        try:
            return None if data is None else kind.from_json(data)
        except ValueError:
            raise OpsError(
                f"the store's object {key} is damaged or of another version",
                remedy="bring it back from a copy of the store; it is written once and never changed",
            ) from None

    def record(self, seq: int) -> Record:
        intent = self._get(seq, "intent", Intent)
        if intent is None:
            raise OpsError(
                f"{self.environment} has no release {seq}",
                remedy=f"list them with `cortex-ops history -e {self.environment}`",
            )
        outcome, verdict = self._get(seq, "outcome", Outcome), self.verdict(seq)
        return Record(intent=intent, outcome=outcome, verdict=verdict)

    def records(self, limit: int = 20) -> list[Record]:
        """Newest first."""
        return [self.record(seq) for seq in self.sequences()[::-1][:limit]]

    def live(self) -> Record | None:
        """The highest promoted sequence, or None before the first."""
        for seq in reversed(self.sequences()):
            record = self.record(seq)
            if record.outcome is not None and record.outcome.state == "promoted":
                return record
        return None

    def unfinished(self) -> list[Record]:
        """Intents without an outcome, oldest first. Outcomes are checked newest first and settled in order,
        so everything before a settled promoted release is settled too."""
        found: list[Record] = []
        for seq in reversed(self.sequences()):
            record = self.record(seq)
            if record.outcome is None:
                found.append(record)
            elif found or record.outcome.state == "promoted":
                break
        return found[::-1]

    def begin(self, make: Callable[[int], Intent]) -> Intent:
        """Write the intent under the next free sequence. The lease makes a lost race here a defect."""
        seq = (self.sequences() or [0])[-1] + 1
        intent = make(seq)
        if not self.store.put_if_absent(self._key(seq, "intent"), intent.to_json()):
            raise RefusedError(f"another run just began release {seq} of {self.environment}", remedy="run again")
        return intent

    def put_placed(self, seq: int, placed: Placed) -> None:
        self.store.put_if_absent(self._key(seq, "placed"), placed.to_json())

    def placed(self, seq: int) -> Placed | None:
        return self._get(seq, "placed", Placed)

    def put_verdict(self, seq: int, verdict: Verdict) -> None:
        self.store.put_if_absent(self._key(seq, "verdict"), verdict.to_json())

    def verdict(self, seq: int) -> Verdict | None:
        return self._get(seq, "verdict", Verdict)

    def take_down(self, actor: str, at: str) -> None:
        """Note of what is live that a person removed it. The next release brings it, or its successor, back."""
        live = self.live()
        if live is not None:
            self.store.put_if_absent(self._key(live.seq, "down"), TakenDown(at=at, actor=actor).to_json())

    def taken_down(self, seq: int) -> TakenDown | None:
        return self._get(seq, "down", TakenDown)

    def finish(self, seq: int, outcome: Outcome) -> Outcome:
        """Write the outcome; when one is already there it stands and is returned."""
        if self.store.put_if_absent(self._key(seq, "outcome"), outcome.to_json()):
            return outcome
        existing = self.store.get(self._key(seq, "outcome"))
        assert existing is not None
        return Outcome.from_json(existing)
