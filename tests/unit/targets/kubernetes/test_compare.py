"""What is a difference, and what is only another way to write the same."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.targets.kubernetes.compare import differences
from cortex_ops.targets.kubernetes.equal import quantity
from tests.support.cluster_live import POD, Document, api, deployment, found, rendered_objects

TREE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["env", "ports", "name", "limits", "selector", "emptyDir", "x"]), inner)
    ),
    max_leaves=20,
)


@given(TREE)
def test_nothing_differs_from_itself(tree: Any) -> None:
    one = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": tree, "env": tree}
    assert differences(one, copy.deepcopy(one)) == []


def test_no_rendered_object_differs_from_itself() -> None:
    assert [change for one in rendered_objects() for change in differences(one, copy.deepcopy(one))] == []


def test_what_the_server_fills_in_is_no_difference() -> None:
    def filled(live: Document) -> None:
        live["metadata"] |= {"uid": "u", "annotations": {"deployment.kubernetes.io/revision": "3"}}
        live["metadata"]["labels"]["cost"] = "shop"
        live["spec"] |= {"progressDeadlineSeconds": 600}
        live["status"] = {"replicas": 2}
        pod = live["spec"]["template"]["spec"]
        pod |= {"dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "tolerations": [{"key": "x"}]}
        del pod["hostNetwork"]
        del api(live)["env"][1]["value"]
        api(live)["terminationMessagePath"] = "/dev/termination-log"

    assert found(filled) == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("64Mi", "67108864"),
        ("1Gi", "1024Mi"),
        ("1e3", "1k"),
        (1, "1"),
        (".5", "500m"),
    ],
)
def test_quantities_are_amounts(written: Any, kept: str) -> None:
    rendered, live = deployment(), deployment()
    api(rendered)["resources"]["limits"]["memory"] = written
    api(live)["resources"]["limits"]["memory"] = kept
    assert differences(rendered, live) == []


@given(st.integers(min_value=0, max_value=10**12))
def test_an_amount_is_the_same_in_every_unit(number: int) -> None:
    assert quantity(f"{number}Ki") == quantity(str(number * 1024)) == quantity(f"{number * 1024_000}m")
    assert quantity(f"{number}k") == quantity(f"{number}e3") == number * 1000
    assert quantity(f"{number}n") == quantity(f"{number}E-9")
    assert quantity(f"{number}Ki") != quantity(f"{number + 1}Ki")


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1GiB", "1e", "--1", "0x1", "1.2.3", True, None])
def test_other_words_are_no_amount(text: Any) -> None:
    assert quantity(text) is None


def test_amounts_are_compared_only_where_the_api_has_amounts() -> None:
    def same_number(live: Document) -> None:
        live["metadata"]["labels"]["version"] = "1000m"

    rendered = deployment()
    rendered["metadata"]["labels"]["version"] = "1"
    assert found(same_number, rendered) == [("metadata.labels.version", "1", "1000m")]


def test_a_port_or_a_share_may_be_a_number_or_its_text() -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api"},
        "spec": {"ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
    }

    def as_text(live: Document) -> None:
        live["spec"]["ports"][0] |= {"targetPort": "8080", "nodePort": 31000}
        live["spec"]["clusterIP"] = "10.0.0.1"

    assert found(as_text, service) == []
    assert found(lambda live: live["spec"]["ports"][0].update(targetPort=9), service) == [
        ("spec.ports[80/TCP].targetPort", 8080, 9)
    ]
    more = {"port": 81, "protocol": "TCP"}
    assert found(lambda live: live["spec"]["ports"].append(more), service) == [
        ("spec.ports[81/TCP]", "absent", "present")
    ]


def test_a_changed_field_is_named_as_a_person_reads_it() -> None:
    def edited(live: Document) -> None:
        live["spec"]["replicas"] = 3
        live["metadata"]["labels"]["app.kubernetes.io/name"] = "web"
        api(live)["image"] = "registry.test/api:latest"
        api(live)["command"] = ["serve"]
        api(live)["resources"]["limits"]["memory"] = "128Mi"

    assert sorted(found(edited)) == [
        ("metadata.labels[app.kubernetes.io/name]", "api", "web"),
        ("spec.replicas", 2, 3),
        (f"{POD}.containers[api].command", ["serve", "--fast"], ["serve"]),
        (f"{POD}.containers[api].image", "registry.test/api@sha256:1", "registry.test/api:latest"),
        (f"{POD}.containers[api].resources.limits.memory", "67108864", "128Mi"),
    ]


def test_what_an_operator_fills_into_its_own_kind_is_no_difference() -> None:
    cluster = {"apiVersion": "example.com/v1", "kind": "Database", "metadata": {"name": "db"}, "spec": {"size": 1}}
    assert found(lambda live: live["spec"].update(env=[{"name": "X", "value": "y"}]), cluster) == []


def test_true_is_not_one() -> None:
    rendered = deployment()
    rendered["spec"]["template"]["spec"]["hostUsers"] = True
    changed = found(lambda live: live["spec"]["template"]["spec"].update(hostUsers=1), rendered)
    assert changed == [(f"{POD}.hostUsers", True, 1)]


def test_an_absent_field_is_not_false_where_the_server_takes_it_for_true() -> None:
    changed = found(lambda live: api(live)["securityContext"].pop("allowPrivilegeEscalation"))
    assert changed == [(f"{POD}.containers[api].securityContext.allowPrivilegeEscalation", False, "absent")]


def test_a_volume_that_became_another_is_a_difference_although_its_source_was_empty() -> None:
    host = {"name": "tmp", "hostPath": {"path": "/"}}
    changed = found(lambda live: live["spec"]["template"]["spec"].update(volumes=[host]))
    assert changed == [(f"{POD}.volumes[tmp].emptyDir", "present", "absent")]


def test_a_set_has_no_order_but_every_item_counts() -> None:
    rendered = deployment()
    api(rendered)["securityContext"]["capabilities"]["drop"] = ["ALL", "NET_RAW"]
    field = f"{POD}.containers[api].securityContext.capabilities.drop"
    drop = ["NET_RAW", "ALL"]
    assert found(lambda live: api(live)["securityContext"]["capabilities"].update(drop=drop), rendered) == []
    less = found(lambda live: api(live)["securityContext"]["capabilities"].update(drop=["ALL"]), rendered)
    assert less == [(field, ["ALL", "NET_RAW"], ["ALL"])]


def test_the_metrics_of_an_autoscaler_may_come_back_in_another_order() -> None:
    def metric(name: str, percent: int) -> Document:
        return {"type": "Resource", "resource": {"name": name, "target": {"averageUtilization": percent}}}

    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "api"},
        "spec": {"metrics": [metric("cpu", 70), metric("memory", 80)]},
    }
    assert found(lambda live: live["spec"]["metrics"].reverse(), scaler) == []
    changed = found(lambda live: live["spec"].update(metrics=[metric("memory", 80), metric("cpu", 9)]), scaler)
    assert changed == [("spec.metrics[Resource/cpu].resource.target.averageUtilization", 70, 9)]
