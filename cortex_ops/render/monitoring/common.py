"""What the renderings of monitoring and logging share: names, namespaces of their own, configuration by content."""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.canonical import canonical, sha256
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import MANAGED_BY, PART_OF, Object, named, pod
from cortex_ops.render.kubernetes.common import namespace as namespace_of_services
from cortex_ops.render.yaml_output import Text

__all__ = ["job_name", "namespace", "namespace_of_services", "part_name", "placed", "pod_in", "settings", "workload"]


def job_name(inputs: RenderInputs) -> str:
    """The label `job` of every series of the environment, however it is scraped; rules select by it."""
    return inputs.prefix


def part_name(inputs: RenderInputs, part: str) -> str:
    """`cortex-staging-prometheus`: several environments may share a namespace."""
    return f"{inputs.prefix}-{part}"


def namespace(inputs: RenderInputs, name: str, level: str) -> Object:
    """`level` is the Pod Security Standard that it enforces. Of no environment, since several may share it."""
    levels = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit", "warn")}
    labels = {PART_OF: inputs.stack.name, MANAGED_BY: "cortex-ops", **levels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def placed(inputs: RenderInputs, space: str, kind: str, api: str, name: str, component: str, **fields: Any) -> Object:
    """An object in another namespace than the services'."""
    one = named(inputs, kind, api, name, component, **fields)
    one["metadata"]["namespace"] = space
    return one


def settings(inputs: RenderInputs, space: str, part: str, component: str, data: dict[str, str]) -> Object:
    """A ConfigMap that is named by its content, so that what mounts it is replaced when it changes."""
    mark = sha256(canonical(data))[:12]
    name = part_name(inputs, part)
    shown = {key: Text(text) for key, text in data.items()}
    one = placed(inputs, space, "ConfigMap", "v1", name, component, data=shown, immutable=True)
    one["metadata"]["name"] = f"{name}-{mark}"
    return one


def workload(inputs: RenderInputs, space: str, kind: str, part: str, component: str, spec: Object) -> Object:
    return placed(inputs, space, kind, "apps/v1", part_name(inputs, part), component, spec=spec)


def pod_in(inputs: RenderInputs, part: str, component: str, uid: int, **fields: Any) -> Object:
    """A pod template outside the services' namespace, where the Secret with the registry's login is not."""
    template = pod(inputs, part_name(inputs, part), component, uid, uid, **fields)
    template["spec"].pop("imagePullSecrets", None)
    return template
