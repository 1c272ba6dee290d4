"""The stores: a StatefulSet of one with a claim of its own, reached by a headless Service of the store's name."""

from __future__ import annotations

from cortex_ops.render.compose.stores import KINDS
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import (
    Object,
    account,
    container_security,
    cores,
    files,
    image,
    labels,
    literal,
    named,
    pod,
    selector,
)
from cortex_ops.stack.naming import STORE_PORTS
from cortex_ops.stack.quantities import size
from cortex_ops.stack.schema import StoreService


def store_objects(inputs: RenderInputs, name: str, store: StoreService) -> list[Object]:
    ports = [
        {"name": f"p{port}", "port": int(port), "targetPort": int(port), "protocol": "TCP"}
        for port in STORE_PORTS[store.kind]
    ]
    spec = {"clusterIP": "None", "selector": selector(inputs, name), "ports": ports}
    return [
        account(inputs, name, "store"),
        named(inputs, "Service", "v1", name, "store", spec=spec),
        _stateful(inputs, name, store),
    ]


def _stateful(inputs: RenderInputs, name: str, store: StoreService) -> Object:
    kind = KINDS[store.kind](store)
    volumes, mounts = files(inputs, name, secrets=True, writable=kind["tmpfs"])
    mounts.append({"name": "data", "mountPath": kind["data"]})
    given: dict[str, str] = kind["service"].get("environment") or {}
    limits = {"cpu": cores(store.cpu), "memory": str(size(store.memory))}
    container: Object = {
        "name": name,
        "image": image(inputs.image(name), inputs.environment.name),
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": int(port), "protocol": "TCP"} for port in STORE_PORTS[store.kind]],
        "env": [{"name": k, "value": literal(v)} for k, v in sorted(given.items())],
        "resources": {"requests": {"cpu": "100m", "memory": limits["memory"]}, "limits": limits},
        "securityContext": container_security(inputs),
        "volumeMounts": mounts,
        "startupProbe": _probe(kind["health"], period=2, failures=60),
        "readinessProbe": _probe(kind["health"], period=5, failures=3),
    }
    if "command" in kind["service"]:
        container["args"] = [literal(one) for one in kind["service"]["command"]]
    claim: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": str(size(store.volume))}},
    }
    if inputs.environment.kubernetes.storage_class:
        claim["storageClassName"] = inputs.environment.kubernetes.storage_class
    spec = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": selector(inputs, name)},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "template": pod(
            inputs,
            name,
            "store",
            store.user,
            store.user,
            containers=[container],
            volumes=volumes,
            terminationGracePeriodSeconds=60,
        ),
        "volumeClaimTemplates": [
            {"metadata": {"name": "data", "labels": labels(inputs, name, "store")}, "spec": claim}
        ],
    }
    return named(inputs, "StatefulSet", "apps/v1", name, "store", spec=spec)


def _probe(health: list[str], *, period: int, failures: int) -> Object:
    """Compose's spelling of a health check as the kubelet's. No liveness: a store that is busy is not restarted."""
    command = ["sh", "-c", health[1]] if health[0] == "CMD-SHELL" else health[1:]
    return {
        "exec": {"command": command},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
