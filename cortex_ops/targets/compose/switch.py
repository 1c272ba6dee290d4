"""The proxy's switch: which release has the traffic, and which one the candidate's entrance leads to.

Read and set by a one-shot container of the proxy's own image, which shares a volume with it; never by `exec`, whose
process would outlive us.
"""

from __future__ import annotations

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.targets.compose.helper import helper
from cortex_ops.targets.compose.observed import LABEL, Seen, look_at_project
from cortex_ops.targets.protocol import Live

DEADLINE = 30  # seconds; the proxy answers at once, or `switch` gives up after five


class Switch:
    """Of one environment. `run_id` labels the containers that ask."""

    def __init__(self, engine: Engine, prefix: str, run_id: str) -> None:
        self.engine, self.prefix, self.run_id = engine, prefix, run_id

    def edge(self) -> Seen | None:
        """The proxy's container, running or not."""
        found = [s for s in look_at_project(self.engine, f"{self.prefix}-edge") if s.service == "edge"]
        return found[0] if found else None

    def live(self) -> Live:
        """Read from the proxy itself; empty when there is no proxy."""
        edge = self.edge()
        return Live() if edge is None else self._run(edge, ["show"], what="reading the proxy's switch")

    def set(self, slot: str, release: str, candidate: str) -> Live:
        """What the proxy says afterwards. `-` keeps what is there, `none` is nobody."""
        edge = self.edge()
        if edge is None or edge.status != "running":
            raise OpsError(f"the proxy of {self.prefix} does not run", remedy="release again; it is repaired first")
        return self._run(edge, ["set", slot, release, candidate], what="switching the proxy")

    def _run(self, edge: Seen, args: list[str], *, what: str) -> Live:
        api, guard = self.engine.client.api, self.engine.guard
        name = f"{self.prefix}-switch-{self.run_id[:12] or 'manual'}"
        labels = {f"{LABEL}project": self.prefix, f"{LABEL}role": "helper", f"{LABEL}run": self.run_id}
        with helper(
            self.engine,
            name,
            edge.fields.image,
            args,
            labels,
            what=what,
            entrypoint=["switch"],
            binds=[f"{self.prefix}-edge-state:/run/edge"],
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
        ) as made:
            guard(api.start, made)
            code = self._ended(made, what)
            said = str(guard(api.logs, made).decode(errors="replace"))
        if code:
            last = (said.strip().splitlines() or ["it said nothing"])[-1]
            raise OpsError(f"{what} failed (exit {code}): {last}")
        return _parsed(said)

    def _ended(self, container: str, what: str) -> int:
        from requests.exceptions import ReadTimeout

        try:
            return int(self.engine.guard(self.engine.client.api.wait, container, timeout=DEADLINE)["StatusCode"])
        except OpsError as error:
            if isinstance(error.__cause__, ReadTimeout):
                raise DeadlineError(f"{what} did not end within {DEADLINE} s") from error
            raise


def _parsed(text: str) -> Live:
    """`switch show` prints `key value` lines."""
    pairs = dict(line.split(None, 1) for line in text.splitlines() if len(line.split(None, 1)) == 2)

    def value(key: str) -> str:
        found = pairs.get(key, "").strip()
        return "" if found == "none" else found

    return Live(release=value("release"), slot=value("live"), candidate=value("candidate"))
