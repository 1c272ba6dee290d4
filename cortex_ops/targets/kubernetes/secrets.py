"""Delivered secrets: an immutable Secret for each consumer and version of its values, which are never said."""

from __future__ import annotations

import base64
import functools
import re
from typing import Any

from cortex_ops.adapters.cluster import Cluster, ClusterError
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.redact import Secret
from cortex_ops.render.kubernetes.common import COMPONENT
from cortex_ops.stack.naming import secret_object, secret_volume
from cortex_ops.targets.kubernetes.objects import Document
from cortex_ops.targets.protocol import Pruned

COMPONENT_VALUE = "secret"


class SecretObjects:
    """Of one namespace."""

    def __init__(self, cluster: Cluster, namespace: str, labels: dict[str, str]) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.labels = {**labels, COMPONENT: COMPONENT_VALUE}

    def deliver(
        self, stack: str, environment: str, versions: dict[str, str], values: dict[str, dict[str, Secret]]
    ) -> None:
        """`versions`: consumer → version. `values` are by the name of the consumer's volume, as for an engine."""
        tasks = []
        for consumer, version in sorted(versions.items()):
            files = values.get(secret_volume(stack, environment, consumer, version))
            if files is not None:
                tasks.append(functools.partial(self._deliver, secret_object(consumer, version), files))
        at_once(tasks)

    def _deliver(self, name: str, files: dict[str, Secret]) -> None:
        document = self._document(name, files)
        path = self.cluster.path_of(document)
        live = self.cluster.get(path, secret=True)
        if live is not None and live.get("data") != document["data"]:
            # The name says which values it holds; one that holds others was tampered with, and is immutable.
            self.cluster.delete(document, uid=live["metadata"]["uid"])
            live = None
        if live is not None:
            return
        try:
            self.cluster.apply(document, force=True)
        except ClusterError as error:
            raise OpsError(f"Secret {name} of {self.namespace} was not taken: {error.message}") from error

    def _document(self, name: str, files: dict[str, Secret]) -> Document:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace, "labels": self.labels},
            "type": "Opaque",
            "immutable": True,
            "data": {key: base64.b64encode(value.reveal()).decode() for key, value in sorted(files.items())},
        }

    def remove_unused(self) -> Pruned:
        """Those that no workload, job or pod of the namespace names."""
        selector = ",".join(f"{key}={value}" for key, value in self.labels.items())
        root = f"/api/v1/namespaces/{self.namespace}"
        listed = self.cluster.items(f"{root}/secrets", selector)
        if not listed:
            return Pruned()
        apps, batch = f"/apis/apps/v1/namespaces/{self.namespace}", f"/apis/batch/v1/namespaces/{self.namespace}"
        paths = [f"{apps}/deployments", f"{apps}/statefulsets", f"{batch}/jobs", f"{root}/pods"]
        used = {
            name
            for items in at_once([functools.partial(self.cluster.items, p) for p in paths])
            for name in _named(items)
        }
        removed, problems = [], []
        for one in listed:
            name = one["metadata"]["name"]
            if name in used or not re.search(r"-[0-9a-f]{12}$", name):
                continue
            try:
                self.cluster.delete({"apiVersion": "v1", "kind": "Secret", **one}, uid=one["metadata"]["uid"])
            except OpsError as error:
                problems.append(f"Secret {name}: {error.message}")
            else:
                removed.append(f"Secret {name}")
        return Pruned(removed=tuple(removed), problems=tuple(problems))


def _named(value: Any) -> set[str]:
    """Names of Secrets anywhere in documents: in volumes and in variables."""
    out: set[str] = set()
    if isinstance(value, list):
        for one in value:
            out |= _named(one)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "secretName" and isinstance(inner, str):
                out.add(inner)
            elif key == "secretKeyRef" and isinstance(inner, dict):
                out.add(str(inner.get("name")))
            else:
                out |= _named(inner)
    return out
