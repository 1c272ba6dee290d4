"""May these manifests be applied? Judged as they are written, so that a defect of the renderer is found, too.

What the API takes (`strict`), the restricted Pod Security Standard, and what we add to it: images by digest, a
read-only root, limits, no token of the API server, roles that only look, a policy that closes what no other opens.
What watches the system may do more; what exactly is declared here, each with its reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from cortex_ops.render.kubernetes.strict import findings
from cortex_ops.render.yaml_output import read_all_yaml

Object = dict[str, Any]

_BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_VOLUMES = {"name", "configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
_CONFIGURATION = 1024**2  # bytes that the API stores of one
_LOOK = {"get", "list", "watch"}

# (folder, kind) → finding → why it is right there.
DECLARED: dict[tuple[str, str], dict[str, str]] = {
    ("monitoring", "Deployment"): {
        "automountServiceAccountToken is not false": "Prometheus asks the API server which pods there are",
    },
    ("logging", "Namespace"): {
        "it admits more than restricted pods": "its pods mount folders of the node, which only `privileged` admits",
    },
    ("logging", "DaemonSet"): {
        "it may run as root": "the node's log files are root's; without capabilities it is only their owner",
        "volume containers is a hostPath": "the names of the node's log files",
        "volume pods is a hostPath": "the node's log files",
        "volume state is a hostPath": "what was read and not sent yet outlives the pod",
    },
}


def judge(files: dict[str, str]) -> list[str]:
    """Of a whole environment. Sentences that name file, object and what is wrong; empty: they may be applied."""
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    documents = list(_documents(files))
    out = _each(documents)
    if not any(one.get("kind") == "NetworkPolicy" and one.get("spec") == closed for _, one in documents):
        out.append("no NetworkPolicy closes what no other opens")
    return out


def judge_each(files: dict[str, str]) -> list[str]:
    """Of some of its files: each document for itself."""
    return _each(_documents(files))


def _each(documents: Iterable[tuple[str, Object]]) -> list[str]:
    out: list[str] = []
    for name, document in documents:
        where = f"{name}: {document.get('kind')} {(document.get('metadata') or {}).get('name')}"
        declared = DECLARED.get((name.rpartition("/")[0], str(document.get("kind"))), {})
        # What is no object of its kind cannot be judged further.
        wrong = findings(document) or [one for one in _of_object(document) if one not in declared]
        out += [f"{where}: {one}" for one in wrong]
    return out


def _documents(files: dict[str, str]) -> Iterator[tuple[str, Object]]:
    for name, text in files.items():
        if name.endswith(".yaml"):
            for document in read_all_yaml(text):
                yield name, document


def _of_object(document: Object) -> Iterator[str]:
    kind = document["kind"]
    if kind == "Namespace":
        if (document["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "it admits more than restricted pods"
    elif kind == "Role":
        for rule in document.get("rules") or []:
            if not set(rule["verbs"]) <= _LOOK or set(rule.get("resources") or ["*"]) & {"*", "secrets"}:
                yield f"it grants {', '.join(rule['verbs'])} of {', '.join(rule.get('resources') or ['*'])}"
    elif kind == "ConfigMap":
        size = sum(len(key.encode()) + len(text.encode()) for key, text in (document.get("data") or {}).items())
        if size > _CONFIGURATION:
            yield f"it has {size} bytes, and the API takes {_CONFIGURATION}"
    else:
        yield from _of_pods(document)


def _of_pods(document: Object) -> Iterator[str]:
    template = (document.get("spec") or {}).get("template")
    if document["kind"] not in ("Deployment", "StatefulSet", "DaemonSet", "Job") or not template:
        return
    pod = template["spec"]
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"{key} shares the node's own"
    if pod.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false"
    context = pod.get("securityContext") or {}
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield "it may run as root"
    if (context.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "it has no seccomp profile"
    for volume in pod.get("volumes") or []:
        for kind in volume.keys() - _VOLUMES:
            yield f"volume {volume['name']} is a {kind}"
    for container in [*(pod.get("initContainers") or []), *pod["containers"]]:
        yield from (f"container {container['name']} {what}" for what in _of_container(container))


def _of_container(container: Object) -> Iterator[str]:
    context = container.get("securityContext") or {}
    if context.get("privileged"):
        yield "is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if (context.get("capabilities") or {}).get("drop") != ["ALL"] or context["capabilities"].get("add"):
        yield "keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its own image"
    if not _BY_DIGEST.fullmatch(container.get("image", "")):
        yield "names its image by something that can move"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield "takes a port of the node"
    resources = container.get("resources") or {}
    for part in ("requests", "limits"):
        if not {"cpu", "memory"} <= set(resources.get(part) or {}):
            yield f"has no {part} of processor and memory"
