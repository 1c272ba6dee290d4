"""Pods of the restricted standard that run one script of a test."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.engine import docker

Object = dict[str, Any]


def build(folder: Path, address: str, name: str, script: str) -> str:
    """An image whose command is the Node script, pushed; → its reference."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "script.mjs").write_text(textwrap.dedent(script))
    base = "FROM node:24-bookworm-slim\nCOPY script.mjs /\nUSER 1000\n"
    (folder / "Dockerfile").write_text(base + 'CMD ["node", "--max-old-space-size=64", "/script.mjs"]\n')
    reference = f"{address}-{name}:1"
    docker("build", "-q", "-t", reference, str(folder), deadline=300)
    try:
        docker("push", "-q", reference, deadline=300)
    finally:
        docker("image", "rm", reference, check=False)
    return reference


def pod(name: str, namespace: str, labels: Mapping[str, str], image: str, env: Mapping[str, str]) -> Object:
    """Any namespace takes it; it ends at once when it is deleted."""
    container: Object = {
        "name": name,
        "image": image,
        "env": [{"name": key, "value": value} for key, value in sorted(env.items())],
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    seccomp = {"type": "RuntimeDefault"}
    spec: Object = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": seccomp},
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    }
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
