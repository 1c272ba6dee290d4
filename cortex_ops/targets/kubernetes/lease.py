"""A lease held in the cluster: a Lease object whose name only one creator can win, in the environment's namespace.

Annotations carry the owner; the heartbeat is `spec.renewTime`. A takeover deletes this very holding (its uid, and the
version that was seen: a holder that beats meanwhile is not dead), then creates anew.
"""

from __future__ import annotations

from cortex_ops.adapters.cluster import Cluster, ClusterError, Object
from cortex_ops.kernel.clock import SYSTEM, Clock, iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.targets.lease import TTL, Held, LeaseBase

NAME = "cortex-ops"
API = "coordination.k8s.io/v1"
PREFIX = "cortex-ops.org/"
TERMINATING_S = 60.0  # a namespace that is being deleted is waited for


class KubernetesLease(LeaseBase):
    """`labels` mark the namespace, when it has to be made first, and the lease as ours."""

    def __init__(self, cluster: Cluster, namespace: str, labels: dict[str, str], clock: Clock = SYSTEM) -> None:
        super().__init__(namespace, clock)
        self.cluster, self.namespace, self.labels = cluster, namespace, labels

    def _document(self) -> Object:
        metadata = {"name": NAME, "namespace": self.namespace, "labels": self.labels}
        return {"apiVersion": API, "kind": "Lease", "metadata": metadata}

    def _path(self) -> str:
        return f"/apis/{API}/namespaces/{self.namespace}/leases/{NAME}"

    def _read(self) -> Held | None:
        found = self.cluster.get(self._path())
        if found is None:
            return None
        metadata = found["metadata"]
        given = metadata.get("annotations") or {}
        facts = {key.removeprefix(PREFIX): value for key, value in given.items() if key.startswith(PREFIX)}
        facts["version"] = metadata["resourceVersion"]
        facts["renewed"] = str((found.get("spec") or {}).get("renewTime"))
        self._last = facts
        return Held(metadata["uid"], facts)

    def _create(self, facts: dict[str, str]) -> bool:
        document = self._document()
        document["metadata"]["annotations"] = {f"{PREFIX}{key}": value for key, value in facts.items()}
        now = _micro(self.clock)
        document["spec"] = {
            "holderIdentity": facts["owner"],
            "leaseDurationSeconds": int(TTL),
            "acquireTime": now,
            "renewTime": now,
        }
        end = self.clock.monotonic() + TERMINATING_S
        while True:
            try:
                made = self.cluster.create(document)
            except ClusterError as error:
                if error.status == 409:
                    return False
                if error.status == 404:
                    self._make_namespace()
                elif not _terminating(error):
                    raise
                elif self.clock.monotonic() > end:
                    raise OpsError(
                        f"namespace {self.namespace} is being deleted and has not gone for {TERMINATING_S:g} s",
                        remedy=f"see what holds it: kubectl get namespace {self.namespace} -o yaml",
                    ) from error
                else:
                    self.clock.sleep(0.5)
                continue
            self._id = made["metadata"]["uid"]
            return True

    def _make_namespace(self) -> None:
        document = {"apiVersion": "v1", "kind": "Namespace"}
        try:
            self.cluster.create({**document, "metadata": {"name": self.namespace, "labels": self.labels}})
        except ClusterError as error:
            if error.status != 409:
                raise

    def _remove(self, identity: str) -> None:
        # Somebody else's is removed as it was seen; our own whatever beat came last.
        version = self._last["version"] if identity != self._id else ""
        self.cluster.delete(self._document(), uid=identity, version=version)

    def _beat(self) -> None:
        operations: list[Object] = [
            {"op": "test", "path": "/metadata/uid", "value": self._id},
            {"op": "replace", "path": "/spec/renewTime", "value": _micro(self.clock)},
        ]
        self.cluster.patch(self._document(), operations)

    def _heartbeat(self, identity: str) -> bytes:
        found = self._read()
        return found.facts["renewed"].encode() if found and found.identity == identity else b""


def _micro(clock: Clock) -> str:
    return iso(clock.now()).replace("Z", "000Z")


def _terminating(error: ClusterError) -> bool:
    return error.status == 403 and "being terminated" in error.message
