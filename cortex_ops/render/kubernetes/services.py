"""The system's services: Deployment, Service, autoscaler, disruption budget, claims."""

from __future__ import annotations

from typing import Any

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import (
    Object,
    account,
    container_security,
    files,
    image,
    labels,
    literal,
    named,
    pod,
    resources,
    selector,
    user_of,
    variables,
)
from cortex_ops.stack.quantities import size
from cortex_ops.stack.schema import Service

GRACE_S = 30
DRAIN_S = 5  # until every node has taken an ending pod out of its Service


def service_objects(inputs: RenderInputs, name: str, service: Service) -> list[Object]:
    out = [account(inputs, name, "service"), *_claims(inputs, name, service), _deployment(inputs, name, service)]
    ports = [{"name": "http", "port": int(service.port), "targetPort": "http", "protocol": "TCP"}]
    out.append(
        named(inputs, "Service", "v1", name, "service", spec={"selector": selector(inputs, name), "ports": ports})
    )
    if service.scale is not None:
        out.append(_autoscaler(inputs, name, service))
    if least(inputs, name, service) > 1:
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": selector(inputs, name)}}
        out.append(named(inputs, "PodDisruptionBudget", "policy/v1", name, "service", spec=budget))
    return out


def least(inputs: RenderInputs, name: str, service: Service) -> int:
    """Replicas that run at any time."""
    return service.scale.min if service.scale is not None else inputs.environment.replicas[name]


def _deployment(inputs: RenderInputs, name: str, service: Service) -> Object:
    spec: Object = {
        "revisionHistoryLimit": 3,
        "progressDeadlineSeconds": int(inputs.environment.start_deadline),
        "selector": {"matchLabels": selector(inputs, name)},
        "strategy": _strategy(inputs, service),
        "template": _template(inputs, name, service),
    }
    if service.scale is None:  # else the autoscaler's: every apply would set it back
        spec["replicas"] = inputs.environment.replicas[name]
    return named(inputs, "Deployment", "apps/v1", name, "service", spec=spec)


def _strategy(inputs: RenderInputs, service: Service) -> Object:
    alone = service.handover == "stop_start" or inputs.environment.strategy == "recreate"
    if alone or any(not volume.shared for volume in service.volumes):
        return {"type": "Recreate"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def _template(inputs: RenderInputs, name: str, service: Service) -> Object:
    ref = inputs.image(name)
    uid, gid = user_of(name, ref.user)
    volumes, mounts = files(inputs, name, secrets=bool(service.secrets), writable=service.writable)
    for number, volume in enumerate(service.volumes):
        volumes.append({"name": f"data-{number}", "persistentVolumeClaim": {"claimName": f"{name}-data-{number}"}})
        mounts.append({"name": f"data-{number}", "mountPath": volume.path})
    container: Object = {
        "name": name,
        "image": image(ref, inputs.environment.name),
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": int(service.port), "protocol": "TCP"}],
        "env": variables(inputs, name, service),
        "resources": resources(inputs.environment.resources[name]),
        "securityContext": container_security(inputs),
        "volumeMounts": mounts,
        **probes(service, inputs.environment.start_deadline),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_S}}},
    }
    if service.command:
        container["command"] = [literal(one) for one in service.command]
    more: dict[str, Any] = {"containers": [container], "volumes": volumes}
    more["terminationGracePeriodSeconds"] = GRACE_S + DRAIN_S
    if least(inputs, name, service) > 1:
        more["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(inputs, name)},
            }
        ]
    return pod(inputs, name, "service", uid, gid, **more)


def probes(service: Service, start_deadline: float) -> Object:
    """`live` says that the process works and checks nothing else, so a slow store restarts no pod."""

    def http(path: str, **times: int) -> Object:
        return {"httpGet": {"path": path, "port": "http", "scheme": "HTTP"}, **times}

    tries = max(1, round(start_deadline / 2))
    return {
        "startupProbe": http(service.probes.live, periodSeconds=2, timeoutSeconds=2, failureThreshold=tries),
        "livenessProbe": http(service.probes.live, periodSeconds=10, timeoutSeconds=5, failureThreshold=3),
        "readinessProbe": http(service.probes.ready, periodSeconds=5, timeoutSeconds=5, failureThreshold=2),
    }


def _claims(inputs: RenderInputs, name: str, service: Service) -> list[Object]:
    out = []
    for number, volume in enumerate(service.volumes):
        spec: Object = {
            "accessModes": ["ReadWriteMany" if volume.shared else "ReadWriteOnce"],
            "resources": {"requests": {"storage": str(size(volume.size))}},
        }
        if inputs.environment.kubernetes.storage_class:
            spec["storageClassName"] = inputs.environment.kubernetes.storage_class
        metadata = {"name": f"{name}-data-{number}", "labels": labels(inputs, name, "service")}
        claim = named(inputs, "PersistentVolumeClaim", "v1", name, "service", spec=spec)
        claim["metadata"] |= metadata
        out.append(claim)
    return out


def _autoscaler(inputs: RenderInputs, name: str, service: Service) -> Object:
    assert service.scale is not None

    def metric(resource: str, percent: int) -> Object:
        target = {"type": "Utilization", "averageUtilization": percent}
        return {"type": "Resource", "resource": {"name": resource, "target": target}}

    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "minReplicas": service.scale.min,
        "maxReplicas": service.scale.max,
        "metrics": [metric("cpu", service.scale.cpu), metric("memory", service.scale.memory)],
    }
    return named(inputs, "HorizontalPodAutoscaler", "autoscaling/v2", name, "service", spec=spec)
