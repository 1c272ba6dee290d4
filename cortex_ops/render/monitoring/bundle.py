"""All of it as files, in folders beside the manifests: `kubectl apply -f .` there does not see them."""

from __future__ import annotations

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import Object
from cortex_ops.render.monitoring.fluentd import fluentd_files
from cortex_ops.render.monitoring.operator import operator_files
from cortex_ops.render.monitoring.prometheus import prometheus_files
from cortex_ops.render.yaml_output import to_yaml


def monitoring_files(inputs: RenderInputs) -> dict[str, str]:
    """Pure. Path → text; empty where the environment asks for nothing."""
    spec = inputs.environment.kubernetes
    found: dict[str, list[Object]] = {}
    if spec.monitoring == "prometheus":
        found |= {f"monitoring/{name}": objects for name, objects in prometheus_files(inputs).items()}
    if spec.monitoring == "operator":
        found |= {f"monitoring/{name}": objects for name, objects in operator_files(inputs).items()}
    if spec.logging == "fluentd":
        found |= {f"logging/{name}": objects for name, objects in fluentd_files(inputs).items()}
    return {name: "---\n".join(to_yaml(one) for one in objects) for name, objects in found.items()}
