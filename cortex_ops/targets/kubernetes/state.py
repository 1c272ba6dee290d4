"""What the cluster itself says of releases: which is live, which was applied last, and what it consists of.

A ConfigMap in the environment's namespace. It is not the history (that is in the store): it is what the switch is on
an engine, so that a run that was killed leaves something that can be read.
"""

from __future__ import annotations

import json

from cortex_ops.adapters.cluster import Cluster, Object
from cortex_ops.kernel.values import Value
from cortex_ops.targets.kubernetes.objects import Ref

NAME = "cortex-ops-release"


class State(Value):
    """Releases are written `r12`. `applied` is empty while one is being applied: nothing is wholly there then.

    `inventory` holds what any release made that is not pruned yet; an entry without a uid was about to be made.
    """

    live: str = ""
    candidate: str = ""
    applied: str = ""
    applying: str = ""
    inventory: tuple[Ref, ...] = ()


class StateObject:
    """Reads and writes it. Only the holder of the lease writes."""

    def __init__(self, cluster: Cluster, namespace: str, labels: dict[str, str]) -> None:
        self.cluster, self.namespace, self.labels = cluster, namespace, labels

    def read(self) -> State:
        """Of an environment to which nothing was released: an empty one."""
        found = self.cluster.get(f"/api/v1/namespaces/{self.namespace}/configmaps/{NAME}")
        data = (found or {}).get("data") or {}
        if not data:
            return State()
        inventory = tuple(Ref.model_validate(one) for one in json.loads(data.get("inventory") or "[]"))
        plain = {key: data.get(key, "") for key in ("live", "candidate", "applied", "applying")}
        return State(**plain, inventory=inventory)

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
            },
        }
        self.cluster.apply(document, force=True)

    def change(self, **fields: object) -> State:
        state = self.read().model_copy(update=fields)
        self.write(state)
        return state
