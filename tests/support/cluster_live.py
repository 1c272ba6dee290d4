"""Live objects of a cluster that differ from what was rendered in one known way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.yaml_output import read_all_yaml
from cortex_ops.targets.kubernetes.compare import differences
from tests.support.cluster_inputs import inputs

Document = dict[str, Any]
POD = "spec.template.spec"


def rendered_objects() -> list[Document]:
    texts = [text for name, text in render_kubernetes(inputs()).files.items() if name.endswith(".yaml")]
    return [document for text in texts for document in read_all_yaml(text)]


def deployment() -> Document:
    container = {
        "name": "api",
        "image": "registry.test/api@sha256:1",
        "env": [{"name": "PORT", "value": "8080"}, {"name": "EMPTY", "value": ""}],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "67108864"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "command": ["serve", "--fast"],
    }
    pod = {"containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}], "hostNetwork": False}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop", "labels": {"app.kubernetes.io/name": "api"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {"metadata": {"labels": {"app": "api"}}, "spec": pod},
        },
    }


def api(document: Document) -> Document:
    return document["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]


def found(change: Callable[[Document], Any], base: Document | None = None) -> list[tuple[str, Any, Any]]:
    """(field, expected, found) after the live object was changed."""
    rendered = base or deployment()
    live = copy.deepcopy(rendered)
    change(live)
    return [(one.field, one.expected, one.found) for one in differences(rendered, live)]
