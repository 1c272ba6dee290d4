"""Monitoring: what is scraped, who may look, and what the alerts ask for.

That alerts fire and keep silent is shown in `tests/integration/monitoring`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.monitoring.rules import ALERTS, quoted
from tests.support.cluster_inputs import Document
from tests.support.watched import (
    FLUENTD,
    IMAGE,
    IMAGES,
    OPERATOR,
    PROMETHEUS,
    config_of,
    documents,
    the,
    watched,
)

# -- a plain Prometheus ------------------------------------------------------------------------------------------


def test_prometheus_finds_each_pod_of_the_environment_and_names_service_and_pod() -> None:
    config, _ = config_of(watched(PROMETHEUS))
    (scrape,) = config["scrape_configs"]
    (found,) = scrape["kubernetes_sd_configs"]
    assert (found["role"], found["namespaces"]["names"]) == ("pod", ["cortex-local"])
    assert scrape["job_name"] == "cortex-local"
    assert "static_configs" not in scrape
    named = {one["target_label"]: one["source_labels"] for one in scrape["relabel_configs"] if "target_label" in one}
    assert named == {
        "service": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
        "pod": ["__meta_kubernetes_pod_name"],
        "namespace": ["__meta_kubernetes_namespace"],
    }
    assert config["rule_files"] == ["rules.yml"] and "alerting" not in config


def discovered(config: Document, pod: Document, phase: str = "Running") -> list[dict[str, str]]:
    """The targets that Prometheus makes of a pod template: what its relabeling keeps, by `service` and port."""
    (scrape,) = config["scrape_configs"]
    (chosen,) = [one["label"] for one in scrape["kubernetes_sd_configs"][0]["selectors"]]
    labels = pod["metadata"]["labels"]
    if not all(labels.get(key) == value for key, value in (pair.split("=") for pair in chosen.split(","))):
        return []
    out = []
    for port in [p for c in pod["spec"]["containers"] for p in c.get("ports", [])]:
        meta = {
            "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
            "__meta_kubernetes_pod_phase": phase,
            "__meta_kubernetes_pod_label_app_kubernetes_io_name": labels["app.kubernetes.io/name"],
        }
        target = {"port": str(port["containerPort"])}
        for rule in scrape["relabel_configs"]:
            value = ";".join(meta.get(label, "") for label in rule["source_labels"])
            hit = re.fullmatch(rule.get("regex", ".*"), value) is not None
            if (rule.get("action") == "keep" and not hit) or (rule.get("action") == "drop" and hit):
                break
            if "target_label" in rule:
                target[rule["target_label"]] = value
        else:
            out.append({key: target[key] for key in ("service", "port")})
    return out


def test_exactly_the_services_are_scraped_at_their_own_port() -> None:
    given = watched(PROMETHEUS)
    config, _ = config_of(given)
    pods = [
        one["spec"]["template"]
        for text in render_kubernetes(given).files.values()
        for one in yaml.safe_load_all(text)
        if one["kind"] in ("Deployment", "StatefulSet", "Job")
    ]
    found = [target for pod in pods for target in discovered(config, pod)]
    wanted = [{"service": n, "port": s.port} for n, s in sorted(given.stack.services.items()) if not s.optional]
    assert sorted(found, key=lambda one: one["service"]) == wanted
    assert [target for pod in pods for target in discovered(config, pod, "Failed")] == []


def test_prometheus_may_see_the_pods_of_the_environment_and_nothing_else() -> None:
    given = watched(PROMETHEUS)
    role, binding, account = the(given, "Role"), the(given, "RoleBinding"), the(given, "ServiceAccount")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "cortex-local"
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    (subject,) = binding["subjects"]
    assert account["metadata"]["namespace"] == "watch"
    assert subject == {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "watch"}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_its_namespace_is_made_and_admits_only_restricted_pods() -> None:
    labels = the(watched(PROMETHEUS), "Namespace")["metadata"]["labels"]
    levels = {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")}
    assert levels == {"restricted"}


def test_configuration_is_named_by_its_content() -> None:
    def more(document: Document) -> None:
        document["services"]["api"]["resources"]["memory"] = "512Mi"

    names = [the(given, "ConfigMap")["metadata"]["name"] for given in (watched(PROMETHEUS), watched(PROMETHEUS))]
    other = the(watched(PROMETHEUS, change=more), "ConfigMap")["metadata"]["name"]
    assert names[0] == names[1] != other
    assert re.fullmatch(r"cortex-local-prometheus-[0-9a-f]{12}", other)


def test_without_an_image_only_configuration_is_rendered() -> None:
    kinds = {one["kind"] for one in documents(watched(PROMETHEUS, FLUENTD))}
    assert kinds == {"Namespace", "ServiceAccount", "Role", "RoleBinding", "ConfigMap"}


def test_prometheus_itself_is_restricted_and_mounts_that_configuration() -> None:
    given = watched(PROMETHEUS, {"monitoring_image": IMAGE})
    pod = the(given, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    assert {"name": "config", "configMap": {"name": the(given, "ConfigMap")["metadata"]["name"]}} in pod["volumes"]
    assert container["image"] == IMAGE
    assert pod["automountServiceAccountToken"] is True  # declared: it asks which pods there are


def test_the_registrys_login_is_not_looked_for_where_it_is_not() -> None:
    given = watched(PROMETHEUS, FLUENTD, IMAGES, {"pull_secret": "registry"})
    for kind in ("Deployment", "DaemonSet"):
        assert "imagePullSecrets" not in the(given, kind)["spec"]["template"]["spec"]


def test_alerts_go_to_the_alertmanager_that_is_named_and_the_policy_lets_them() -> None:
    given = watched(PROMETHEUS, {"monitoring_image": IMAGE, "alertmanager": "https://alerts.test:9099"})
    config, _ = config_of(given)
    assert config["alerting"]["alertmanagers"] == [
        {"scheme": "https", "static_configs": [{"targets": ["alerts.test:9099"]}]}
    ]
    egress = the(given, "NetworkPolicy")["spec"]["egress"]
    assert 9099 in [port["port"] for rule in egress for port in rule["ports"]]


def test_what_prometheus_may_reach_lets_it_in() -> None:
    given = watched(PROMETHEUS, {"monitoring_image": IMAGE})
    policies = [
        one
        for text in render_kubernetes(given).files.values()
        for one in yaml.safe_load_all(text)
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] in given.stack.services
    ]
    came = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "watch"}}}
    out = {
        port["port"]
        for rule in the(given, "NetworkPolicy")["spec"]["egress"]
        if "to" in rule
        for port in rule["ports"]
    }
    assert len(policies) == len(given.stack.services)
    for document in policies:
        (rule,) = [one for one in document["spec"]["ingress"] if came in one["from"]]
        assert {port["port"] for port in rule["ports"]} <= out, document["metadata"]["name"]


# -- the operator ------------------------------------------------------------------------------------------------


def test_the_operators_kinds_and_plain_configuration_are_never_mixed() -> None:
    assert {one["kind"] for one in documents(watched(OPERATOR))} == {"PodMonitor", "PrometheusRule"}
    plain = {one["kind"] for one in documents(watched(PROMETHEUS, {"monitoring_image": IMAGE}))}
    assert not plain & {"PodMonitor", "PrometheusRule", "ServiceMonitor"}


def test_the_operators_rules_are_the_same_rules() -> None:
    _, rules = config_of(watched(PROMETHEUS))
    assert the(watched(OPERATOR), "PrometheusRule")["spec"] == rules


def test_a_pod_monitor_gives_the_labels_that_the_rules_ask_for() -> None:
    spec = the(watched(OPERATOR), "PodMonitor")["spec"]
    assert spec["namespaceSelector"] == {"matchNames": ["cortex-local"]}
    (endpoint,) = spec["podMetricsEndpoints"]
    given = {one["targetLabel"]: one for one in endpoint["relabelings"] if "targetLabel" in one}
    assert given["job"]["replacement"] == "cortex-local"
    assert given["service"]["sourceLabels"] == ["__meta_kubernetes_pod_label_app_kubernetes_io_name"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")


def test_the_operators_prometheus_selects_by_the_labels_and_may_see_the_pods() -> None:
    given = watched(OPERATOR, {"monitoring_account": "prometheus-k8s", "monitoring_labels": {"release": "stack"}})
    for kind in ("PodMonitor", "PrometheusRule"):
        metadata = the(given, kind)["metadata"]
        assert (metadata["namespace"], metadata["labels"]["release"]) == ("watch", "stack")
    (subject,) = the(given, "RoleBinding")["subjects"]
    assert (subject["name"], subject["namespace"]) == ("prometheus-k8s", "watch")


# -- the alerts --------------------------------------------------------------------------------------------------

SAMPLE = Path(__file__).resolve().parents[3] / "examples" / "cortex-os"
MADE_BY_PROMETHEUS = {"up"}


def exposed() -> set[str]:
    """The names of all series that the sample's services expose, from where they are declared."""
    sources = [
        p.read_text() for p in SAMPLE.rglob("*.mjs") if "node_modules" not in p.parts and ".test." not in p.name
    ]
    out = set()
    for kind, name in re.findall(r"metrics\.(counter|gauge|histogram)\(\s*'([a-z_]+)'", "\n".join(sources)):
        out |= {f"{name}_{end}" for end in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return out


def test_every_alert_asks_only_for_what_the_services_expose() -> None:
    _, rules = config_of(watched(PROMETHEUS))
    asked = {name for one in rules["groups"][0]["rules"] for name in re.findall(r"([a-z_]+)\{", one["expr"])}
    assert asked <= exposed() | MADE_BY_PROMETHEUS
    assert {"up", "http_requests_total", "process_uptime_seconds"} <= asked


def test_every_service_that_is_deployed_is_missed_when_it_is_gone() -> None:
    given = watched(PROMETHEUS)
    _, rules = config_of(given)
    down = [one["expr"] for one in rules["groups"][0]["rules"] if one["alert"] == "ServiceDown"]
    for name in given.stack.services:
        assert any(f'absent(up{{job="cortex-local", service="{name}"}})' in one for one in down), name
    assert len(down) == len(given.stack.services)


def test_every_alert_has_a_severity_an_environment_and_something_to_say() -> None:
    _, rules = config_of(watched(PROMETHEUS))
    for one in rules["groups"][0]["rules"]:
        assert one["labels"]["severity"] in ("critical", "warning")
        assert one["labels"]["environment"] == "local" and one["labels"]["stack"] == "cortex"
        assert one["annotations"]["summary"] and one["annotations"]["description"]
        assert "$" not in one["expr"], one["expr"]
        told = " ".join(one["annotations"].values())
        assert set(re.findall(r"\$\w+", told)) <= {"$labels", "$value"}, told
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_a_service_that_waits_for_a_model_is_never_called_slow() -> None:
    def no_model(document: Document) -> None:
        document["services"]["model-gateway"]["calls"] = []

    def slow(given: RenderInputs) -> str:
        (one,) = [r["expr"] for r in config_of(given)[1]["groups"][0]["rules"] if r["alert"] == "SlowRequests"]
        return str(one)

    assert 'service!~"model\\\\-gateway"' in slow(watched(PROMETHEUS))
    assert "service" not in slow(watched(PROMETHEUS, change=no_model)).replace("(job, service", "")


def test_what_an_optional_service_exposes_is_not_missed() -> None:
    def optional(document: Document) -> None:
        document["services"]["mcp-registry"]["optional"] = True

    _, rules = config_of(watched(PROMETHEUS, change=optional))
    assert "mcp-registry" not in json.dumps(rules)


@pytest.mark.parametrize(("text", "literal"), [("a", '"a"'), ('a"b', '"a\\"b"'), ("a\\.b", '"a\\\\.b"')])
def test_text_is_a_literal_of_promql(text: str, literal: str) -> None:
    assert quoted(text) == literal
