"""May these manifests be applied? Judged as they are written, so that a defect of the renderer is found, too.

What the API takes (`strict`), the restricted Pod Security Standard, and what we add to it: images by digest, a
read-only root, limits, no token of the API server, and a policy that closes what no other opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cortex_ops.render.kubernetes.strict import findings
from cortex_ops.render.yaml_output import read_all_yaml

Object = dict[str, Any]

_BY_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_VOLUMES = {"name", "configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def judge(files: dict[str, str]) -> list[str]:
    """Sentences that name file, object and what is wrong; empty: they may be applied."""
    out: list[str] = []
    documents: list[Object] = []
    for name, text in files.items():
        if not name.endswith(".yaml"):
            continue
        for document in read_all_yaml(text):
            documents.append(document)
            where = f"{name}: {document.get('kind')} {(document.get('metadata') or {}).get('name')}"
            wrong = findings(document)
            # What is no object of its kind cannot be judged further.
            out += [f"{where}: {one}" for one in (wrong or _of_pods(document))]
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    if not any(one["kind"] == "NetworkPolicy" and one["spec"] == closed for one in documents if "spec" in one):
        out.append("no NetworkPolicy closes what no other opens")
    return out


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
