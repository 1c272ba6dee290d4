"""`monitoring: prometheus`: a plain Prometheus's configuration, rule file and rights, in a namespace of its own.

Pods are discovered, so each replica is a target; a Service in their place would hide all but one. With an image the
Prometheus itself is rendered: it holds no longer than its pod lives, because it is there to alert. Who keeps history
points a Prometheus of their own at the same ConfigMap, with the rendered ServiceAccount.
"""

from __future__ import annotations

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import COMPONENT, NAME, PART_OF, Object, container_security, named, selector
from cortex_ops.render.kubernetes.policies import NAMESPACE, allow_dns, deployed
from cortex_ops.render.monitoring.common import (
    job_name,
    namespace,
    namespace_of_services,
    part_name,
    placed,
    pod_in,
    settings,
    workload,
)
from cortex_ops.render.monitoring.rules import METRICS, groups
from cortex_ops.render.yaml_output import to_yaml
from cortex_ops.stack.quantities import url

PART, COMPONENT_OF = "prometheus", "monitoring"
SCRAPED = "service"  # the component whose pods are targets
INTERVAL, TIMEOUT = "15s", "10s"
PORT = 9090
USER = 65534  # nobody, as in Prometheus's own images
FINISHED = "Succeeded|Failed"  # a pod that was evicted stays, and answers no more


def prometheus_files(inputs: RenderInputs) -> dict[str, list[Object]]:
    space = inputs.environment.kubernetes.monitoring_namespace
    name = part_name(inputs, PART)
    account = placed(inputs, space, "ServiceAccount", "v1", name, COMPONENT_OF, automountServiceAccountToken=False)
    data = {"prometheus.yml": to_yaml(configuration(inputs)), "rules.yml": to_yaml({"groups": groups(inputs)})}
    config = settings(inputs, space, PART, COMPONENT_OF, data)
    out = {
        "00-namespace.yaml": [namespace(inputs, space, "restricted")],
        "10-access.yaml": [account, *discovery(inputs, space, name)],
        "20-config.yaml": [config],
    }
    if inputs.environment.kubernetes.monitoring_image:
        out["30-prometheus.yaml"] = _prometheus(inputs, space, config["metadata"]["name"])
    return out


def configuration(inputs: RenderInputs) -> Object:
    spec = inputs.environment.kubernetes
    of_pod = "__meta_kubernetes_pod"
    scrape = {
        "job_name": job_name(inputs),
        "metrics_path": METRICS,
        "kubernetes_sd_configs": [
            {
                "role": "pod",
                "namespaces": {"names": [namespace_of_services(inputs)]},
                "selectors": [
                    {"role": "pod", "label": f"{PART_OF}={inputs.stack.name},{COMPONENT}={SCRAPED}"},
                ],
            }
        ],
        "relabel_configs": [
            # A pod is found once for each port of its containers; `http` is the one of the service.
            {"source_labels": [f"{of_pod}_container_port_name"], "regex": "http", "action": "keep"},
            {"source_labels": [f"{of_pod}_phase"], "regex": FINISHED, "action": "drop"},
            {"source_labels": [meta_label(NAME)], "target_label": "service"},
            {"source_labels": [f"{of_pod}_name"], "target_label": "pod"},
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        ],
    }
    out: Object = {
        "global": {"scrape_interval": INTERVAL, "scrape_timeout": TIMEOUT, "evaluation_interval": INTERVAL},
        "rule_files": ["rules.yml"],  # beside this file
        "scrape_configs": [scrape],
    }
    if spec.alertmanager:
        to = url(spec.alertmanager)
        target = {"scheme": to.scheme, "static_configs": [{"targets": [f"{to.host}:{to.port}"]}]}
        out["alerting"] = {"alertmanagers": [target]}
    return out


def meta_label(label: str) -> str:
    """The name under which Prometheus shows a pod's label while it relabels."""
    return "__meta_kubernetes_pod_label_" + "".join(c if c.isalnum() else "_" for c in label)


def discovery(inputs: RenderInputs, space: str, account: str) -> list[Object]:
    """The right to see the pods of the services' namespace, and of no other, for an account of `space`."""
    name = part_name(inputs, PART)
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    api = "rbac.authorization.k8s.io"
    return [
        named(inputs, "Role", f"{api}/v1", name, COMPONENT_OF, rules=[rule]),
        named(
            inputs,
            "RoleBinding",
            f"{api}/v1",
            name,
            COMPONENT_OF,
            roleRef={"apiGroup": api, "kind": "Role", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": account, "namespace": space}],
        ),
    ]


def _prometheus(inputs: RenderInputs, space: str, config: str) -> list[Object]:
    name = part_name(inputs, PART)
    container = {
        "name": PART,
        "image": inputs.environment.kubernetes.monitoring_image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            "--storage.tsdb.retention.time=7d",
            "--storage.tsdb.retention.size=3GB",  # well below the volume's limit: the head is not counted
        ],
        "ports": [{"name": "web", "containerPort": PORT, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": container_security(inputs),
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/prometheus", "readOnly": True},
            {"name": "data", "mountPath": "/prometheus"},
        ],
        "startupProbe": _probe("/-/ready", failures=60),
        "readinessProbe": _probe("/-/ready", failures=3),
        "livenessProbe": _probe("/-/healthy", failures=6),
    }
    volumes = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "data", "emptyDir": {"sizeLimit": "5Gi"}},
    ]
    # The one workload with a token of the API server: it asks which pods there are.
    template = pod_in(
        inputs,
        PART,
        COMPONENT_OF,
        USER,
        automountServiceAccountToken=True,
        containers=[container],
        volumes=volumes,
        terminationGracePeriodSeconds=60,
    )
    spec = {
        "replicas": 1,
        "revisionHistoryLimit": 3,
        "strategy": {"type": "Recreate"},  # two of them would send each alert twice
        "selector": {"matchLabels": selector(inputs, name)},
        "template": template,
    }
    ports = [{"name": "web", "port": PORT, "targetPort": "web", "protocol": "TCP"}]
    service = {"selector": selector(inputs, name), "ports": ports}
    return [
        workload(inputs, space, "Deployment", PART, COMPONENT_OF, spec),
        placed(inputs, space, "Service", "v1", name, COMPONENT_OF, spec=service),
        placed(
            inputs, space, "NetworkPolicy", "networking.k8s.io/v1", name, COMPONENT_OF, spec=_policy(inputs, name)
        ),
    ]


def _policy(inputs: RenderInputs, name: str) -> Object:
    """In: its own namespace, for a Grafana there. Out: names, the services, the API server, the Alertmanager."""
    ports = sorted({int(service.port) for service in deployed(inputs).values()})
    services = {
        "namespaceSelector": {"matchLabels": {NAMESPACE: namespace_of_services(inputs)}},
        "podSelector": {"matchLabels": {PART_OF: inputs.stack.name, COMPONENT: SCRAPED}},
    }
    # Where the API server is, no manifest can know: a port, on whichever address.
    anywhere = {443, 6443}
    if inputs.environment.kubernetes.alertmanager:
        anywhere.add(int(url(inputs.environment.kubernetes.alertmanager).port))
    return {
        "podSelector": {"matchLabels": selector(inputs, name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": [
            *allow_dns(),
            {"to": [services], "ports": [{"protocol": "TCP", "port": port} for port in ports]},
            {"ports": [{"protocol": "TCP", "port": port} for port in sorted(anywhere)]},
        ],
    }


def _probe(path: str, *, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": "web", "scheme": "HTTP"},
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }
