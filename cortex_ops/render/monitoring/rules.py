"""The alerts, as data, and the rule groups that they make. How they reach a Prometheus is not here.

They ask only for what the services themselves expose (`packages/observability` and `packages/kernel` of the sample)
and for `up`, which Prometheus makes: no kube-state-metrics, no node exporter. A service of another kind that exposes
less is only told when it is down. All series of an environment carry one `job`, and `service` and `pod`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import Template
from typing import Literal

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import Object
from cortex_ops.render.kubernetes.policies import deployed
from cortex_ops.render.kubernetes.services import least
from cortex_ops.render.monitoring.common import job_name
from cortex_ops.stack.quantities import size
from cortex_ops.stack.schema import Service

METRICS = "/metrics"
HEALTH = "/health"  # asked by people and by scripts, and 503 is its way to say no

Values = dict[str, str]
Each = Callable[[RenderInputs, str, Service], Values | None]


@dataclass(frozen=True)
class Alert:
    """`expression` is a template over the environment's values and, with `each`, over those of one service, for which
    `each` gives None where the alert does not apply. `lasting` is how long it must be true; empty: at once."""

    name: str
    severity: Literal["critical", "warning"]
    lasting: str
    expression: str
    summary: str
    description: str
    each: Each | None = None


def _any(inputs: RenderInputs, name: str, service: Service) -> Values | None:
    return {}


def _several(inputs: RenderInputs, name: str, service: Service) -> Values | None:
    count = least(inputs, name, service)
    return {"least": str(count)} if count > 1 else None


def _probed(inputs: RenderInputs, name: str, service: Service) -> Values | None:
    return {"ready": quoted(service.probes.ready)}


def _limited(inputs: RenderInputs, name: str, service: Service) -> Values | None:
    return {"near": str(size(inputs.environment.resources[name].memory) * 9 // 10)}


ALERTS = (
    Alert(
        "ServiceDown",
        "critical",
        "5m",  # a service that is never there twice is away while its release changes
        # The second half: without any pod there is no `up` that could be 0. Both halves have the same labels.
        "sum by (job, service) (up{$all, service=$service}) == 0 or absent(up{$all, service=$service})",
        "{{ $labels.service }} is down",
        "No replica of {{ $labels.service }} answers, or there is none.",
        each=_any,
    ),
    Alert(
        "ReplicaDown",
        "warning",
        "10m",
        "up{$all} == 0 unless on (job, service) sum by (job, service) (up{$all}) == 0",
        "A replica of {{ $labels.service }} is down",
        "{{ $labels.pod }} does not answer, while others of {{ $labels.service }} do.",
    ),
    Alert(
        "ReplicasMissing",
        "warning",
        "15m",
        "count by (job, service) (up{$all, service=$service}) < $least",
        "{{ $labels.service }} has too few replicas",
        "There are {{ $value }} pods of {{ $labels.service }} where at least $least should be. The events of its "
        "Deployment say why.",
        each=_several,
    ),
    Alert(
        "NotReady",
        "warning",
        "10m",
        "sum by (job, service, pod) "
        '(rate(http_requests_total{$all, service=$service, route=$ready, status!~"2.."}[5m])) > 0 '
        "unless sum by (job, service, pod) "
        '(rate(http_requests_total{$all, service=$service, route=$ready, status=~"2.."}[5m])) > 0',
        "{{ $labels.pod }} is not ready",
        "Every readiness probe of {{ $labels.pod }} fails: something that {{ $labels.service }} needs is away. Its "
        "/health says what.",
        each=_probed,
    ),
    Alert(
        "HighErrorRate",
        "critical",
        "5m",
        # Of at least 15 requests in five minutes: one failure of one request is no rate.
        'sum by (job, service) (rate(http_requests_total{$all, route!~$quiet, status=~"5.."}[5m])) '
        "/ sum by (job, service) (rate(http_requests_total{$all, route!~$quiet}[5m])) > 0.05 "
        "and sum by (job, service) (rate(http_requests_total{$all, route!~$quiet}[5m])) > 0.05",
        "{{ $labels.service }} answers with errors",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.service }} end with 5xx.",
    ),
    Alert(
        "SlowRequests",
        "warning",
        "10m",
        # A bound of the histogram, so that nothing is interpolated about it. A model answers as fast as it can.
        "histogram_quantile(0.95, sum by (job, service, le) "
        "(rate(http_request_duration_seconds_bucket{$all, route!~$quiet$but}[5m]))) > 2.5 "
        "and sum by (job, service) (rate(http_request_duration_seconds_count{$all, route!~$quiet$but}[5m])) > 0.05",
        "{{ $labels.service }} is slow",
        "One request in twenty to {{ $labels.service }} takes more than {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "Restarting",
        "warning",
        "",
        "resets(process_uptime_seconds{$all}[30m]) > 2",
        "{{ $labels.pod }} restarts again and again",
        "The process in {{ $labels.pod }} started anew {{ $value }} times within 30 minutes.",
    ),
    Alert(
        "MemoryNearLimit",
        "warning",
        "10m",
        "max by (job, service, pod) (process_resident_memory_bytes{$all, service=$service}) > $near",
        "{{ $labels.pod }} is about to run out of memory",
        "{{ $labels.pod }} holds {{ $value | humanize1024 }}B, more than nine tenths of its limit.",
        each=_limited,
    ),
    Alert(
        "OrdersFailing",
        "warning",
        "15m",
        'sum by (job, service) (rate(cortex_orders_total{$all, state="failed"}[15m])) '
        "/ sum by (job, service) (rate(cortex_orders_total{$all}[15m])) > 0.5",
        "Most work of {{ $labels.service }} fails",
        "{{ $value | humanizePercentage }} of the orders that {{ $labels.service }} did in 15 minutes failed.",
    ),
)


def groups(inputs: RenderInputs) -> list[Object]:
    """As a rule file and a PrometheusRule have them under `groups`."""
    return [{"name": job_name(inputs), "rules": list(_rules(inputs))}]


def _rules(inputs: RenderInputs) -> Iterator[Object]:
    services = deployed(inputs)
    values = {
        "all": f"job={quoted(job_name(inputs))}",
        "quiet": quoted(_either({METRICS, HEALTH} | {p for s in services.values() for p in _probe_paths(s)})),
        "but": _but({name for name, one in services.items() if inputs.stack.host_services.keys() & set(one.calls)}),
    }
    for alert in ALERTS:
        if alert.each is None:
            yield _rule(inputs, alert, values)
            continue
        for name, service in services.items():
            if (own := alert.each(inputs, name, service)) is not None:
                # The label is what the expression gives anyway; said here, it keeps the rules apart.
                yield _rule(inputs, alert, {**values, "service": quoted(name), **own}, {"service": name})


def _rule(inputs: RenderInputs, alert: Alert, values: Values, labels: Values | None = None) -> Object:
    rule: Object = {"alert": alert.name, "expr": Template(alert.expression).substitute(values)}
    if alert.lasting:
        rule["for"] = alert.lasting
    # Prometheus has templates of its own in annotations, whose `$labels` and `$value` are left to it.
    told = {"summary": alert.summary, "description": alert.description}
    return rule | {
        "labels": {
            "severity": alert.severity,
            "stack": inputs.stack.name,
            "environment": inputs.environment.name,
            **(labels or {}),
        },
        "annotations": {key: Template(text).safe_substitute(values) for key, text in told.items()},
    }


def _probe_paths(service: Service) -> tuple[str, str]:
    return service.probes.live, service.probes.ready


def _but(names: set[str]) -> str:
    return f", service!~{quoted(_either(names))}" if names else ""


def _either(texts: set[str]) -> str:
    return "|".join(re.escape(one) for one in sorted(texts))


def quoted(text: str) -> str:
    """A string literal of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
