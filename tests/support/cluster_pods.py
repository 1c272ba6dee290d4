"""Pods and their owners as the API server shows them, with only what matters to who asks."""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]
IMAGE = "registry.test/cortex/api@sha256:" + "a" * 64


def waiting(reason: str, message: str = "", **more: Any) -> Document:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def ended(code: int, reason: str = "Error", message: str = "", at: str = "") -> Document:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": at}}


RUNNING: Document = {"state": {"running": {}}, "ready": True, "started": True}


def pod(
    *containers: Document,
    init: tuple[Document, ...] = (),
    name: str = "api-7d9f-x",
    labels: dict[str, str] | None = None,
    owner: str = "",
    restart: str = "Always",
    image: str = IMAGE,
    **status: Any,
) -> Document:
    """`containers` and `init` are container statuses; their containers are called api, api1 … and init, init1 …"""

    def named(base: str, one: Document, number: int) -> Document:
        return {"name": f"{base}{number or ''}", "restartCount": 0, "ready": False, **one}

    mains = [named("api", one, number) for number, one in enumerate(containers)]
    inits = [named("init", one, number) for number, one in enumerate(init)]
    spec = {
        "restartPolicy": restart,
        "containers": [
            {"name": one["name"], "image": image, "resources": {"limits": {"memory": "256Mi"}}} for one in mains
        ],
        "initContainers": [{"name": one["name"], "image": image} for one in inits],
    }
    ready = bool(mains) and all(one["ready"] for one in mains)
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}, *status.pop("conditions", [])]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "labels": labels or {},
            "ownerReferences": [{"uid": owner}] if owner else [],
        },
        "spec": spec,
        "status": {
            "phase": "Running" if ready else "Pending",
            "containerStatuses": mains,
            "initContainerStatuses": inits,
            "conditions": conditions,
            **status,
        },
    }


def no_node(message: str, since: str = "2026-01-01T00:00:00Z") -> Document:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": since,
    }
    return pod(conditions=[condition], containerStatuses=[])


def workload(kind: str, spec: Document, status: Document, *, generation: int = 2, **metadata: Any) -> Document:
    """Its controller has seen the change unless `status` says otherwise."""
    version = "batch/v1" if kind == "Job" else "v1" if kind == "PersistentVolumeClaim" else "apps/v1"
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": "api", "namespace": "shop", "uid": "uid-api", "generation": generation, **metadata},
        "spec": spec,
        "status": {"observedGeneration": generation, **status},
    }
