"""The proxy's switch: which release has the traffic, and which one the candidate's entrance leads to.

Read and set by a one-shot container of the proxy's own image, which shares a volume with it; never by `exec`, whose
process would outlive us.
"""

from __future__ import annotations

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import OpsError
from cortex_ops.targets.compose.observed import LABEL, Seen, look_at_project
from cortex_ops.targets.protocol import Live


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
        name = f"{self.prefix}-switch-{self.run_id[:12] or 'manual'}"
        remove_container(self.engine, name)
        done = self.engine.run(
            self.engine.argv(
                *("run", "--rm", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL"),
                *("--security-opt", "no-new-privileges", "--pull", "never"),
                *("--label", f"{LABEL}project={self.prefix}", "--label", f"{LABEL}role=helper"),
                *("--label", f"{LABEL}run={self.run_id}", "-v", f"{self.prefix}-edge-state:/run/edge"),
                *("--entrypoint", "switch", edge.fields.image, *args),
            ),
            what=what,
            deadline=30,
        )
        return _parsed(done.stdout)


def remove_container(engine: Engine, name: str) -> None:
    """By name or id, whatever it does; one that is gone or goes already is no error."""
    from docker.errors import NotFound

    try:
        engine.guard(engine.client.api.remove_container, name, force=True, v=False)
    except NotFound:
        return
    except OpsError as error:
        if "already in progress" not in error.message:
            raise


def _parsed(text: str) -> Live:
    """`switch show` prints `key value` lines."""
    pairs = dict(line.split(None, 1) for line in text.splitlines() if len(line.split(None, 1)) == 2)

    def value(key: str) -> str:
        found = pairs.get(key, "").strip()
        return "" if found == "none" else found

    return Live(release=value("release"), slot=value("live"), candidate=value("candidate"))
