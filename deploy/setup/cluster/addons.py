"""What a cluster needs beside its control plane: names, policies that are enforced, figures, volumes with snapshots.

Written as the objects that they are; the kinds of snapshots come with the module that serves them.
"""

from __future__ import annotations

from typing import Any

from deploy.setup.cluster import network
from deploy.setup.cluster.node import METRICS_PORT, image

Object = dict[str, Any]
SYSTEM = "kube-system"
DRIVER = "hostpath.fixture.cortex-ops.test"
STORAGE_CLASS = "csi-hostpath"
SNAPSHOT_CLASS = "csi-hostpath-snapclass"
COREFILE = """\
.:53 {
    errors
    health :8080
    ready :8181
    kubernetes cluster.local in-addr.arpa {
        pods insecure
        ttl 5
    }
    cache 5
}
"""


def addons() -> list[Object]:
    """All objects, in the order in which they can be made."""
    return [*_names(), *_policies(), *_figures(), *_volumes()]


def _object(api: str, kind: str, name: str, *, space: str = "", **fields: Any) -> Object:
    metadata: Object = {"name": name, "labels": {"app.kubernetes.io/managed-by": "cortex-cluster"}}
    if space:
        metadata["namespace"] = space
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def _reader(name: str, rules: list[Object]) -> list[Object]:
    """An account of the system's namespace with these rights everywhere."""
    subject = {"kind": "ServiceAccount", "name": name, "namespace": SYSTEM}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"cortex-cluster:{name}"}
    api = "rbac.authorization.k8s.io/v1"
    return [
        _object("v1", "ServiceAccount", name, space=SYSTEM),
        _object(api, "ClusterRole", role["name"], rules=rules),
        _object(api, "ClusterRoleBinding", role["name"], roleRef=role, subjects=[subject]),
    ]


def _reads(group: str, *resources: str) -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": ["get", "list", "watch"]}


def _names() -> list[Object]:
    labels = {"k8s-app": "kube-dns"}
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    container = {
        "name": "coredns",
        "image": image("coredns"),
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": p["name"], "containerPort": p["port"], "protocol": p["protocol"]} for p in ports],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1, "failureThreshold": 30},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10, "failureThreshold": 5},
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "containers": [container],
        "volumes": [{"name": "settings", "configMap": {"name": "coredns"}}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    rights = [_reads("", "endpoints", "services", "pods", "namespaces"), _reads("discovery.k8s.io", "endpointslices")]
    service = {"clusterIP": network.DNS, "selector": labels, "ports": [{**p, "targetPort": p["port"]} for p in ports]}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return [
        *_reader("coredns", rights),
        _object("v1", "ConfigMap", "coredns", space=SYSTEM, data={"Corefile": COREFILE}),
        _object("v1", "Service", "kube-dns", space=SYSTEM, spec=service),
        _object("apps/v1", "Deployment", "coredns", space=SYSTEM, spec=deployment),
    ]


def _policies() -> list[Object]:
    labels = {"k8s-app": "kube-network-policies"}
    container = {
        "name": "policies",
        "image": image("kube-network-policies"),
        "imagePullPolicy": "Never",
        "args": [
            "--node=$(NODE)",
            f"--queue={network.QUEUE}",
            f"--metrics={network.ADDRESS}:9080",
        ],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "securityContext": {"privileged": True},
    }
    pod = {
        "serviceAccountName": "kube-network-policies",
        "hostNetwork": True,
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
    }
    spec = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    rights = [_reads("", "pods", "namespaces", "nodes"), _reads("networking.k8s.io", "networkpolicies")]
    return [
        *_reader("kube-network-policies", rights),
        _object("apps/v1", "DaemonSet", "kube-network-policies", space=SYSTEM, spec=spec),
    ]


def _figures() -> list[Object]:
    """The metrics server runs on the host, so its Service names its address."""
    port = {"name": "https", "port": METRICS_PORT, "protocol": "TCP"}
    slice_ = _object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "metrics-server",
        space=SYSTEM,
        addressType="IPv4",
        endpoints=[{"addresses": [network.ADDRESS], "conditions": {"ready": True}}],
        ports=[port],
    )
    slice_["metadata"]["labels"]["kubernetes.io/service-name"] = "metrics-server"
    service = {"name": "metrics-server", "namespace": SYSTEM, "port": METRICS_PORT}
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": service,
    }
    return [
        _object("v1", "Service", "metrics-server", space=SYSTEM, spec={"ports": [port]}),
        slice_,
        _object("apiregistration.k8s.io/v1", "APIService", "v1beta1.metrics.k8s.io", spec=spec),
    ]


def _volumes() -> list[Object]:
    storage, snapshots = "storage.k8s.io/v1", "snapshot.storage.k8s.io/v1"
    default = _object(storage, "StorageClass", STORAGE_CLASS, provisioner=DRIVER, reclaimPolicy="Delete")
    default["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    default["volumeBindingMode"] = "WaitForFirstConsumer"
    driver = {"attachRequired": False, "podInfoOnMount": False, "volumeLifecycleModes": ["Persistent"]}
    return [
        _object(storage, "CSIDriver", DRIVER, spec={**driver, "fsGroupPolicy": "File"}),
        default,
        _object(snapshots, "VolumeSnapshotClass", SNAPSHOT_CLASS, driver=DRIVER, deletionPolicy="Delete"),
    ]
