"""What every workload gets: names, labels, one integrated security context, secrets as files, writable paths."""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.values import ImageRef
from cortex_ops.render.compose.common import secret_paths
from cortex_ops.render.inputs import SECRETS, RenderInputs
from cortex_ops.stack import naming
from cortex_ops.stack.quantities import cpu, size
from cortex_ops.stack.schema import Resources, Service

Object = dict[str, Any]

NAME = "app.kubernetes.io/name"
PART_OF = "app.kubernetes.io/part-of"
COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "app.kubernetes.io/managed-by"
HOST = "host.docker.internal"  # what services are told where the host is reached from a container
WRITABLE = "64Mi"


def namespace(inputs: RenderInputs) -> str:
    environment = inputs.environment
    return naming.namespace(environment.kubernetes.namespace, inputs.stack.name, environment.name)


def selector(inputs: RenderInputs, name: str) -> dict[str, str]:
    """What a Deployment selects by can never change, so nothing of a release is in it."""
    return {NAME: name, PART_OF: inputs.stack.name}


def labels(inputs: RenderInputs, name: str, component: str) -> dict[str, str]:
    return {**selector(inputs, name), COMPONENT: component, MANAGED_BY: "cortex-ops"}


def named(inputs: RenderInputs, kind: str, api: str, name: str, component: str, **fields: Any) -> Object:
    """An object of the environment's namespace; `fields` are its `spec`, `data` and so on."""
    metadata = {"name": name, "namespace": namespace(inputs), "labels": labels(inputs, name, component)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def image(ref: ImageRef, environment: str) -> str:
    """By digest, from a registry: a node cannot run what exists only in one engine."""
    if not ref.repository:
        raise InputError(
            f"environment {environment} is a cluster, and its images are only in a local engine",
            remedy="set CORTEX_OPS_REGISTRY to a registry that the nodes reach, and build again",
        )
    return ref.reference()


def user_of(name: str, user: str) -> tuple[int, int]:
    """(uid, gid) of an image or store; a number, since the kubelet cannot prove that a name is not root."""
    uid, _, gid = user.partition(":")
    if not uid.isdigit() or int(uid) == 0 or (gid and not gid.isdigit()):
        raise OpsError(f"image {name}: its user {user!r} is not a number other than 0", remedy="set a numeric USER")
    return int(uid), int(gid or uid)


def pod_security(uid: int, gid: int) -> Object:
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security(inputs: RenderInputs) -> Object:
    out: Object = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    if inputs.capabilities.get("apparmor") == "yes":
        out["appArmorProfile"] = {"type": "RuntimeDefault"}
    return out


def resources(wanted: Resources) -> Object:
    return {
        "requests": {"cpu": cores(wanted.requests.cpu), "memory": str(size(wanted.requests.memory))},
        "limits": {"cpu": cores(wanted.cpu), "memory": str(size(wanted.memory))},
    }


def cores(text: str) -> str:
    """In the API's own spelling (`500m`), so that what is read back equals what was applied."""
    thousandths = round(cpu(text) * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def secret_name(inputs: RenderInputs, consumer: str) -> str:
    """The version is in the name: a pod template names the very values that it was started for."""
    return naming.secret_object(consumer, inputs.secret_version(consumer))


def files(
    inputs: RenderInputs, consumer: str, *, secrets: bool, writable: list[str]
) -> tuple[list[Object], list[Object]]:
    """(volumes of the pod, mounts of its container): secrets as read-only files, memory for what it may write."""
    volumes: list[Object] = []
    mounts: list[Object] = []
    if secrets:
        volumes.append(
            {"name": "secrets", "secret": {"secretName": secret_name(inputs, consumer), "defaultMode": 0o440}}
        )
        mounts.append({"name": "secrets", "mountPath": SECRETS, "readOnly": True})
    for number, path in enumerate(sorted(set(writable))):
        volumes.append({"name": f"writable-{number}", "emptyDir": {"medium": "Memory", "sizeLimit": WRITABLE}})
        mounts.append({"name": f"writable-{number}", "mountPath": path})
    return volumes, mounts


def variables(inputs: RenderInputs, name: str, service: Service) -> list[Object]:
    """In the order of their names. The host is called by the Service that stands for it."""
    plain = {
        **{key: reached(inputs, value) for key, value in inputs.environment.env[name].items()},
        "PORT": service.port,
        "HOST": "0.0.0.0",
        # One release replaces another here, and both serve meanwhile: they share their subjects and rows, and a
        # service that did not change is not restarted.
        "CORTEX_RELEASE": inputs.prefix,
        **secret_paths(service),
    }
    out: list[Object] = [{"name": key, "value": literal(plain[key])} for key in plain]
    for key in service.exposure:
        reference = {"name": secret_name(inputs, name), "key": service.secrets[key]}
        out.append({"name": key, "valueFrom": {"secretKeyRef": reference}})
    return sorted(out, key=lambda one: str(one["name"]))


def literal(text: str) -> str:
    """The kubelet expands `$(NAME)` in values, commands and arguments, and makes one `$` of two; ours are final."""
    return text.replace("$", "$$")


def reached(inputs: RenderInputs, value: str) -> str:
    """`http://host.docker.internal:8081` names nothing in a cluster; the Service `mlx` does."""
    for name, host in inputs.stack.host_services.items():
        value = value.replace(f"{HOST}:{host.port}", f"{name}:{host.port}")
    return value


def pod(inputs: RenderInputs, name: str, component: str, uid: int, gid: int, **fields: Any) -> Object:
    """A pod template; `fields` are the pod's own (containers, volumes, restart policy, grace)."""
    spec: Object = {
        "serviceAccountName": name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(uid, gid),
        **fields,
    }
    if inputs.environment.kubernetes.pull_secret:
        spec["imagePullSecrets"] = [{"name": inputs.environment.kubernetes.pull_secret}]
    return {"metadata": {"labels": labels(inputs, name, component)}, "spec": spec}


def account(inputs: RenderInputs, name: str, component: str) -> Object:
    """An identity without a token: nothing here talks to the API server."""
    return named(inputs, "ServiceAccount", "v1", name, component, automountServiceAccountToken=False)
