"""Reading and writing a release history in a store. What is live is derived, never kept."""

from __future__ import annotations

from collections.abc import Callable

from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import Placed, Verdict
from cortex_ops.release.records import Intent, Outcome, Record


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
        return sorted({int(key.split("/")[2]) for key in keys if key.endswith("/intent.json")})

    def record(self, seq: int) -> Record:
        data = self.store.get(self._key(seq, "intent"))
        if data is None:
            raise OpsError(
                f"{self.environment} has no release {seq}",
                remedy=f"list them with `cortex-ops history -e {self.environment}`",
            )
        outcome = self.store.get(self._key(seq, "outcome"))
        verdict = self.store.get(self._key(seq, "verdict"))
        return Record(
            intent=Intent.from_json(data),
            outcome=Outcome.from_json(outcome) if outcome else None,
            verdict=Verdict.from_json(verdict) if verdict else None,
        )

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
        data = self.store.get(self._key(seq, "placed"))
        return Placed.from_json(data) if data else None

    def put_verdict(self, seq: int, verdict: Verdict) -> None:
        self.store.put_if_absent(self._key(seq, "verdict"), verdict.to_json())

    def verdict(self, seq: int) -> Verdict | None:
        data = self.store.get(self._key(seq, "verdict"))
        return Verdict.from_json(data) if data else None

    def finish(self, seq: int, outcome: Outcome) -> Outcome:
        """Write the outcome; when one is already there it stands and is returned."""
        if self.store.put_if_absent(self._key(seq, "outcome"), outcome.to_json()):
            return outcome
        existing = self.store.get(self._key(seq, "outcome"))
        assert existing is not None
        return Outcome.from_json(existing)
