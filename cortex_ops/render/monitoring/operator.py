"""`monitoring: operator`: a PodMonitor and a PrometheusRule for a Prometheus that the operator runs, and no plain
configuration, which it would not read. The namespace is the operator's own and is not made here."""

from __future__ import annotations

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import COMPONENT, NAME, PART_OF, Object
from cortex_ops.render.monitoring.common import job_name, namespace_of_services, placed
from cortex_ops.render.monitoring.prometheus import (
    COMPONENT_OF,
    FINISHED,
    INTERVAL,
    SCRAPED,
    TIMEOUT,
    discovery,
    meta_label,
)
from cortex_ops.render.monitoring.rules import METRICS, groups

API = "monitoring.coreos.com/v1"


def operator_files(inputs: RenderInputs) -> dict[str, list[Object]]:
    spec = inputs.environment.kubernetes
    out = {
        "20-monitor.yaml": [_object(inputs, "PodMonitor", _monitor(inputs))],
        "30-rules.yaml": [_object(inputs, "PrometheusRule", {"groups": groups(inputs)})],
    }
    if spec.monitoring_account:
        out["10-access.yaml"] = discovery(inputs, spec.monitoring_namespace, spec.monitoring_account)
    return dict(sorted(out.items()))


def _object(inputs: RenderInputs, kind: str, spec: Object) -> Object:
    """Beside its Prometheus, which need not look into other namespaces for it, with the labels that it selects by."""
    given = inputs.environment.kubernetes
    one = placed(inputs, given.monitoring_namespace, kind, API, job_name(inputs), COMPONENT_OF, spec=spec)
    one["metadata"]["labels"] |= given.monitoring_labels
    return one


def _monitor(inputs: RenderInputs) -> Object:
    endpoint = {
        "port": "http",
        "path": METRICS,
        "interval": INTERVAL,
        "scrapeTimeout": TIMEOUT,
        "relabelings": [  # after the operator's own, which set `pod` and `namespace`
            {"sourceLabels": ["__meta_kubernetes_pod_phase"], "regex": FINISHED, "action": "drop"},
            {"sourceLabels": [meta_label(NAME)], "targetLabel": "service"},
            {"targetLabel": "job", "replacement": job_name(inputs)},
        ],
    }
    return {
        "selector": {"matchLabels": {PART_OF: inputs.stack.name, COMPONENT: SCRAPED}},
        "namespaceSelector": {"matchNames": [namespace_of_services(inputs)]},
        "podMetricsEndpoints": [endpoint],
    }
