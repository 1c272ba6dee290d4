"""What the cluster itself says of releases: which is live, which was applied last, and what it consists of.

A ConfigMap in the environment's namespace. It is not the history (that is in the store): it is what the switch is on
an engine, so that a run that was killed leaves something that can be read.
"""

from __future__ import annotations

import json
import re

from cortex_ops.adapters.cluster import Cluster, Object
from cortex_ops.kernel.values import Value
from cortex_ops.targets.kubernetes.objects import Ref

NAME = "cortex-ops-release"


class State(Value):
    """Releases are written `r12`. `applied` is empty while one is being applied: nothing is wholly there then.

    `inventory` holds what any release made that is not pruned yet; an entry without a uid was about to be made.
    `restarts` is what `pods.earlier` counted when all of it was ready.
    """

    live: str = ""
    candidate: str = ""
    applied: str = ""
    applying: str = ""
    inventory: tuple[Ref, ...] = ()
    restarts: dict[str, int] = {}


class StateObject:
    """Reads and writes it. Only the holder of the lease writes."""

    def __init__(self, cluster: Cluster, namespace: str, labels: dict[str, str]) -> None:
        self.cluster, self.namespace, self.labels = cluster, namespace, labels

    def read(self) -> State:
        """Of an environment to which nothing was released: an empty one. A hand that writes nonsense here takes away
        what it overwrites, and no more: what is not known counts as drift, and the next release writes it anew."""
        found = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{NAME}")
        data = (found or {}).get("data") or {}
        plain = {key: data.get(key, "") for key in ("live", "candidate", "applied", "applying")}
        releases = {key: value for key, value in plain.items() if re.fullmatch(r"r[1-9][0-9]*", value)}
        return State(**releases, inventory=_inventory(data), restarts=_restarts(data))

    def write(self, state: State) -> None:
        document: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": self.namespace, "labels": self.labels},
            "data": {
                "live": state.live,
                "candidate": state.candidate,
                "applied": state.applied,
                "applying": state.applying,
                "inventory": json.dumps([one.model_dump(exclude_defaults=True) for one in state.inventory]),
                "restarts": json.dumps(state.restarts),
            },
        }
        self.cluster.apply(document, force=True)

    def change(self, **fields: object) -> State:
        state = self.read().model_copy(update=fields)
        self.write(state)
        return state


def _inventory(data: dict[str, str]) -> tuple[Ref, ...]:
    try:
        return tuple(Ref.model_validate(one) for one in json.loads(data.get("inventory") or "[]"))
    except (ValueError, TypeError):
        return ()


def _restarts(data: dict[str, str]) -> dict[str, int]:
    try:
        return {str(key): int(value) for key, value in dict(json.loads(data.get("restarts") or "{}")).items()}
    except (ValueError, TypeError):
        return {}
