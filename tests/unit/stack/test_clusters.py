"""What an environment says about its cluster must be possible: each mistake is found where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex_ops.stack.load import StackError, load_stack_text
from cortex_ops.stack.quantities import url
from cortex_ops.stack.schema import Kubernetes

TEXT = """\
version: "1"
name: demo
source: { path: ../mono }
services:
  api: { path: api, build: { dockerfile: api/Dockerfile }, port: "8080" }
environments:
  local:
    kubernetes:
"""
IMAGE = "registry.test/x@sha256:" + "a" * 64


def read(*lines: str) -> Kubernetes:
    text = TEXT + "".join(f"      {line}\n" for line in lines)
    return load_stack_text(text, Path("s.yaml")).environments["local"].kubernetes


def problems(*lines: str) -> list[str]:
    with pytest.raises(StackError) as caught:
        read(*lines)
    return caught.value.located


def test_everything_that_can_be_said_is_read() -> None:
    prometheus = read(
        "monitoring: prometheus",
        "monitoring_namespace: watch",
        f"monitoring_image: {IMAGE}",
        "alertmanager: http://alerts.watch.svc:9093",
        "logging: fluentd",
        "logging_namespace: logs",
        f"logging_image: {IMAGE}",
        "elasticsearch: https://192.0.2.9:9200",
        "elasticsearch_secret: elastic-login",
    )
    assert (prometheus.monitoring, prometheus.logging) == ("prometheus", "fluentd")
    operator = read(
        "monitoring: operator",
        "monitoring_namespace: watch",
        "monitoring_account: prometheus-k8s",
        "monitoring_labels: { release: kube-prometheus-stack }",
    )
    assert operator.monitoring_labels == {"release": "kube-prometheus-stack"}
    assert read("monitoring_namespace: watch").monitoring == "none"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["monitoring: prometheus"],
            "kubernetes.monitoring_namespace: found nothing, with `monitoring: prometheus`, expected",
        ),
        (["monitoring: operator"], "s.yaml:9:7: environments.local.kubernetes.monitoring_namespace: found nothing"),
        (
            ["logging: fluentd", "logging_namespace: l"],
            "kubernetes.elasticsearch: found nothing, with `logging: fluentd`, expected a value",
        ),
        (
            ["logging: fluentd", "elasticsearch: http://e:1"],
            "kubernetes.logging_namespace: found nothing, with `logging: fluentd`",
        ),
        (["monitoring: yes"], "expected 'none', 'prometheus' or 'operator'"),
        (["logging: true"], "environments.local.kubernetes.logging: found true (a truth value)"),
        (
            ["logging_namespace: l"],
            "kubernetes.logging_namespace: found it, and `logging: none`, expected `logging: f",
        ),
        (["elasticsearch: http://e:1"], "9:7: environments.local.kubernetes.elasticsearch: found it, and"),
        (["alertmanager: http://a:1"], "expected `monitoring: prometheus`, which reads it"),
        ([f"monitoring_image: {IMAGE}"], "expected `monitoring: prometheus`, which reads it"),
        (["monitoring_labels: { a: b }"], "expected `monitoring: operator`, which reads it"),
        (["monitoring_account: p"], "expected `monitoring: operator`, which reads it"),
        (["monitoring_namespace: My_Space"], "expected a lower-case name"),
        (
            ["namespace: a.b"],
            "9:18: environments.local.kubernetes.namespace: found 'a.b', expected a lower-case name",
        ),
    ],
)
def test_what_cannot_be_is_named_with_its_place(lines: list[str], said: str) -> None:
    (found,) = problems(*lines)
    assert said in found


@pytest.mark.parametrize(
    "text",
    [
        "e:9200",
        "elasticsearch",
        "http://e",
        "ftp://e:1",
        "http://user:secret@e:9200",
        "http://e:9200/path",
        "http://e:0",
        "http://e:70000",
        '"http://e:"',
        "http://-e:1",
        '"http://e:1 "',
        '"http://e:1\\n"',
        "HTTP://e:1",
    ],
)
def test_an_address_is_a_scheme_a_host_and_a_port(text: str) -> None:
    found = problems("logging: fluentd", "logging_namespace: l", f"elasticsearch: {text}")
    assert len(found) == 1 and "environments.local.kubernetes.elasticsearch: found" in found[0]


def test_an_address_is_read_in_its_parts() -> None:
    assert url("https://a-b.c.svc:9200") == ("https", "a-b.c.svc", "9200")


@pytest.mark.parametrize("image", ["prometheus", "p:v2", "p@sha256:abc", f"{IMAGE}0", f"P/{IMAGE}", "latest"])
def test_an_image_that_can_move_is_refused(image: str) -> None:
    found = problems("monitoring: prometheus", "monitoring_namespace: m", f"monitoring_image: {image}")
    assert len(found) == 1 and "an image by digest" in found[0]


@pytest.mark.parametrize(
    "labels", ["{ 'a b': c }", "{ '-a': c }", "{ a: 'b c' }", "{ a: 'b/c' }", f"{{ a: {'x' * 64} }}"]
)
def test_a_label_that_no_object_can_have_is_refused(labels: str) -> None:
    found = problems("monitoring: operator", "monitoring_namespace: m", f"monitoring_labels: {labels}")
    assert len(found) == 1 and "of a label" in found[0]


FLUENTD = ["logging: fluentd", "elasticsearch: http://e:9200"]


def test_a_namespace_that_is_made_has_one_purpose() -> None:
    """The logging namespace admits privileged pods: nothing else may be in it."""
    assert "that of the services of local" in problems(*FLUENTD, "logging_namespace: demo-local")[0]
    assert "that of the services of local" in problems(*FLUENTD, "logging_namespace: x", "namespace: x")[0]
    both = ["monitoring: prometheus", "monitoring_namespace: x", *FLUENTD, "logging_namespace: x"]
    assert "that of the monitoring of local" in problems(*both)[0]


def test_so_has_it_over_all_environments() -> None:
    other = "  other: { kubernetes: { monitoring: prometheus, monitoring_namespace: shared } }\n"
    text = TEXT + "".join(f"      {line}\n" for line in [*FLUENTD, "logging_namespace: shared"]) + other
    with pytest.raises(StackError) as caught:
        load_stack_text(text, Path("s.yaml"))
    (found,) = caught.value.located
    assert "environments.local.kubernetes.logging_namespace" in found and "the monitoring of other" in found


def test_environments_may_share_what_watches_them() -> None:
    other = "  other: { kubernetes: { monitoring: prometheus, monitoring_namespace: shared } }\n"
    text = TEXT + "      monitoring: prometheus\n      monitoring_namespace: shared\n" + other
    assert load_stack_text(text, Path("s.yaml"))
