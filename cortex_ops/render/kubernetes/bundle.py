"""All manifests of an environment as one value: a flat folder for `kubectl apply -f`, and one for jobs."""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.collector import collector_paused
from cortex_ops.kernel.values import Bundle, Placement
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import PART_OF, Object, namespace
from cortex_ops.render.kubernetes.host import host_objects
from cortex_ops.render.kubernetes.jobs import job_accounts, job_objects
from cortex_ops.render.kubernetes.policies import deployed, policies
from cortex_ops.render.kubernetes.services import service_objects
from cortex_ops.render.kubernetes.stores import store_objects
from cortex_ops.render.yaml_output import to_yaml

NEUTRAL = Placement(seq=0, slot="a")


@collector_paused()
def render_kubernetes(inputs: RenderInputs, placement: Placement = NEUTRAL) -> Bundle:
    """Pure. `kubectl` reads a folder in the order of its names, so the namespace and the policies come first."""
    files = {"00-namespace.yaml": [_namespace(inputs)], "10-policies.yaml": policies(inputs)}
    if accounts := job_accounts(inputs):
        files["11-jobs.yaml"] = accounts
    if hosts := host_objects(inputs):
        files["20-host.yaml"] = hosts
    files |= {f"30-{name}.yaml": store_objects(inputs, name, one) for name, one in inputs.stack.stores.items()}
    files |= {f"40-{name}.yaml": service_objects(inputs, name, one) for name, one in deployed(inputs).items()}
    files |= {f"jobs/{name}.yaml": [job] for name, job in job_objects(inputs, placement).items()}
    texts = {name: "---\n".join(to_yaml(one) for one in objects) for name, objects in files.items()}
    return Bundle(target="kubernetes", environment=inputs.environment.name, files=texts)


def _namespace(inputs: RenderInputs) -> Object:
    levels: dict[str, Any] = {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace(inputs), "labels": {PART_OF: inputs.stack.name, **levels}},
    }
