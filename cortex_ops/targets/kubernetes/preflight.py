"""Everything that would make a rollout fail and can be known before anything is changed; one sentence each.

What the server itself can judge (rules, immutable fields, foreign managers, admission) is asked of it by a dry run.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction

from cortex_ops.adapters.cluster import Cluster, ClusterError
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.values import ImageLock
from cortex_ops.render.kubernetes.common import PART_OF
from cortex_ops.targets.kubernetes.equal import quantity
from cortex_ops.targets.kubernetes.objects import Document, Ref, group, labels_of
from cortex_ops.targets.kubernetes.rollout import apply, others, refused

VERBS = ("get", "list", "create", "patch", "delete")


def basics(cluster: Cluster, namespace: str, documents: Sequence[Document]) -> list[str]:
    """Without these nothing else can even be asked: every kind is there, and these credentials may use it."""
    return _missing_kinds(cluster, documents) or _rights(cluster, namespace, documents)


def findings(cluster: Cluster, namespace: str, documents: Sequence[Document], force: bool) -> list[str]:
    """`force`: fields of other managers are taken over, so they are no finding. The first step that finds something
    is the last: what follows from it would only be noise."""
    for step in (_pull_secrets, _storage, _quota):
        if found := step(cluster, namespace, documents):
            return found
    return _dry_run(cluster, namespace, documents, force)


def _missing_kinds(cluster: Cluster, documents: Sequence[Document]) -> list[str]:
    asked = {(one["apiVersion"], one["kind"]) for one in documents}
    missing = sorted(one for one in asked if one[1] not in cluster.served(one[0]))
    return [f"the cluster has no kind {kind} ({api}), which is rendered" for api, kind in missing]


def _rights(cluster: Cluster, namespace: str, documents: Sequence[Document]) -> list[str]:
    """By SelfSubjectAccessReview: an administrator's answer is one for all."""
    if _may(cluster, namespace, "*", "*", "*"):
        return []
    asked = sorted({(group(one["apiVersion"]), one["kind"], one["apiVersion"]) for one in documents})
    wanted = [
        (api, cluster.served(version)[kind].plural, verb)
        for api, kind, version in asked
        if kind != "Namespace"
        for verb in VERBS
    ]
    wanted += [("", "secrets", "create"), ("", "pods", "list"), ("", "pods/log", "get"), ("batch", "jobs", "create")]
    wanted += [("coordination.k8s.io", "leases", verb) for verb in VERBS]
    wanted += [("", "namespaces", verb) for verb in ("get", "patch")]
    tasks = [functools.partial(_may, cluster, namespace, verb, api, plural) for api, plural, verb in wanted]
    denied: dict[str, list[str]] = {}
    for (api, plural, verb), allowed in zip(wanted, at_once(tasks), strict=True):
        if not allowed:
            denied.setdefault(f"{plural}.{api}" if api else plural, []).append(verb)
    return [f"these credentials may not {', '.join(verbs)} {what} in {namespace}" for what, verbs in denied.items()]


def _may(cluster: Cluster, namespace: str, verb: str, api: str, plural: str) -> bool:
    resource, _, part = plural.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": api, "resource": resource, "subresource": part}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool(cluster.request("POST", path, body=review, repeat=True)["status"].get("allowed"))


def _pull_secrets(cluster: Cluster, namespace: str, documents: Sequence[Document]) -> list[str]:
    """A pull secret is a person's to make; it is only named here."""
    named = {
        secret["name"]
        for one in documents
        for secret in (((one.get("spec") or {}).get("template") or {}).get("spec") or {}).get("imagePullSecrets")
        or []
    }
    out = []
    for name in sorted(named):
        found = cluster.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if found is None:
            out.append(f"Secret {name}, with which images are pulled, is not in {namespace}")
        elif found.get("type") not in ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"):
            out.append(f"Secret {name} of {namespace} is no registry login: its type is {found.get('type')}")
    return out


def _storage(cluster: Cluster, namespace: str, documents: Sequence[Document]) -> list[str]:
    """Claims need a class that exists, or a default one."""
    specs = [one["spec"] for one in documents if one["kind"] == "PersistentVolumeClaim"]
    for one in documents:
        if one["kind"] == "StatefulSet":
            specs += [claim["spec"] for claim in one["spec"].get("volumeClaimTemplates") or []]
    if not specs:
        return []
    classes = _visible(cluster, "/apis/storage.k8s.io/v1/storageclasses")
    if classes is None:
        return []
    names = {one["metadata"]["name"] for one in classes}
    default = "storageclass.kubernetes.io/is-default-class"
    has_default = any((one["metadata"].get("annotations") or {}).get(default) == "true" for one in classes)
    out = []
    for wanted in sorted({str(spec.get("storageClassName") or "") for spec in specs}):
        if wanted and wanted not in names:
            out.append(f"storage class {wanted} is not in the cluster; it has {', '.join(sorted(names)) or 'none'}")
        elif not wanted and not has_default:
            out.append("claims name no storage class, and the cluster has no default one")
    return out


def _quota(cluster: Cluster, namespace: str, documents: Sequence[Document]) -> list[str]:
    """Whether what all pods ask for fits into each quota; whether it does beside what runs, only the server knows."""
    quotas = _visible(cluster, f"/api/v1/namespaces/{namespace}/resourcequotas")
    out = []
    for quota in quotas or ():
        hard = (quota.get("status") or quota.get("spec") or {}).get("hard") or {}
        for key, limit in sorted(hard.items()):
            part, _, resource = key.partition(".")
            wanted = Fraction(0)
            if key in ("pods", "count/pods"):
                wanted = Fraction(sum(_replicas(one) for one in documents))
            elif part in ("requests", "limits") and resource in ("cpu", "memory"):
                wanted = sum((_replicas(one) * _asked(one, part, resource) for one in documents), wanted)
            else:
                continue
            most = quantity(limit)
            if most is not None and wanted > most:
                name = quota["metadata"]["name"]
                out.append(
                    f"ResourceQuota {name} of {namespace} allows {limit} of {key}, this needs {float(wanted):g}"
                )
    return out


def _replicas(document: Document) -> int:
    if document["kind"] not in ("Deployment", "StatefulSet"):
        return 0
    return int(document["spec"].get("replicas", 1))


def _asked(document: Document, part: str, resource: str) -> Fraction:
    if document["kind"] not in ("Deployment", "StatefulSet"):
        return Fraction(0)
    containers = document["spec"]["template"]["spec"]["containers"]
    asked = [(one.get("resources") or {}).get(part, {}).get(resource, "0") for one in containers]
    return sum((quantity(one) or Fraction(0) for one in asked), Fraction(0))


def architectures(cluster: Cluster) -> set[str]:
    """`linux/amd64` of every node that takes pods; empty when these credentials may not see nodes."""
    nodes = _visible(cluster, "/api/v1/nodes")
    infos = [one["status"]["nodeInfo"] for one in nodes or () if not (one.get("spec") or {}).get("unschedulable")]
    return {f"{one['operatingSystem']}/{one['architecture']}" for one in infos}


def _visible(cluster: Cluster, path: str) -> list[Document] | None:
    """The items; None when these credentials may not list them, which a rollout does not need."""
    try:
        return cluster.items(path)
    except ClusterError as error:
        if error.status == 403:
            return None
        raise


def platforms(lock: ImageLock, nodes: set[str]) -> list[str]:
    """Images that some node cannot run. An index lists its platforms; an image of one platform has that one alone."""
    out = []
    for name, ref in sorted(lock.images.items()):
        if not ref.repository:
            continue
        has = {_without_variant(one) for one in ref.platforms}
        lacking = sorted(nodes - has) if has else []
        if lacking:
            out.append(
                f"{name}: its image has {', '.join(sorted(has))}, and there are nodes of {', '.join(lacking)}; "
                "build it for these platforms too"
            )
    return out


def _without_variant(platform: str) -> str:
    return "/".join(platform.split("/")[:2])


def _dry_run(cluster: Cluster, namespace: str, documents: Sequence[Document], force: bool) -> list[str]:
    """Needs the namespace; where there is none yet, or one that is on its way out, which is waited for and made anew,
    the strict models have judged the documents."""
    space = cluster.get(f"/api/v1/namespaces/{namespace}")
    if space is None or space["metadata"].get("deletionTimestamp"):
        return []

    def one(document: Document) -> str:
        try:
            apply(cluster, document, force=force, dry_run=True)
        except OpsError as error:
            live = cluster.get(cluster.path_of(document)) if force else None
            if live is None or not others(document, live):
                return str(error)
            return alone(document, live["metadata"]["resourceVersion"])
        return ""

    def alone(document: Document, version: str) -> str:
        """What others have set in it may be what is refused, and is taken away."""
        try:
            cluster.rehearse({**document, "metadata": {**document["metadata"], "resourceVersion": version}})
        except ClusterError as error:
            # One that changes at this moment cannot be asked about; the rollout does it.
            return "" if error.status == 409 else str(refused(Ref.of(document).label(), error))
        return ""

    found = at_once([functools.partial(one, document) for document in documents])
    return sorted({text for text in found if text}, key=found.index)


def owner_of(live: Document | None, part_of: str, label: str) -> str:
    """Empty, or why an object of that name may not be taken: it was there and is not of this system."""
    if live is None:
        return ""
    given = labels_of(live).get(PART_OF, "")
    if given == part_of:
        return ""
    return f"{label} is there already and is not of {part_of}{f' but of {given}' if given else ''}"


def names_taken(cluster: Cluster, documents: Sequence[Document], part_of: str) -> list[str]:
    """Objects of others that have the names which are rendered. A namespace may be a person's own."""
    mine = [one for one in documents if one["kind"] != "Namespace"]
    found = at_once([functools.partial(cluster.get, cluster.path_of(one)) for one in mine])
    sentences = [owner_of(live, part_of, Ref.of(one).label()) for one, live in zip(mine, found, strict=True)]
    return [one for one in sentences if one]
