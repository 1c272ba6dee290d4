"""Drift: what is a difference, and what is only another way to write the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.kernel.canonical import canonical
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.yaml_output import read_all_yaml
from cortex_ops.targets.kubernetes.compare import differences, drift, pending
from cortex_ops.targets.kubernetes.equal import quantity
from cortex_ops.targets.kubernetes.paths import keys_of
from tests.support.cluster_inputs import inputs

Document = dict[str, Any]
POD = "spec.template.spec"
TREE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["env", "ports", "name", "limits", "selector", "emptyDir", "x"]), inner)
    ),
    max_leaves=20,
)


def rendered_objects() -> list[Document]:
    texts = [text for name, text in render_kubernetes(inputs()).files.items() if name.endswith(".yaml")]
    return [document for text in texts for document in read_all_yaml(text)]


def deployment() -> Document:
    container = {
        "name": "api",
        "image": "registry.test/api@sha256:1",
        "env": [{"name": "PORT", "value": "8080"}, {"name": "EMPTY", "value": ""}],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1", "memory": "67108864"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "command": ["serve", "--fast"],
    }
    pod = {"containers": [container], "volumes": [{"name": "tmp", "emptyDir": {}}], "hostNetwork": False}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "api", "namespace": "shop", "labels": {"app.kubernetes.io/name": "api"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {"metadata": {"labels": {"app": "api"}}, "spec": pod},
        },
    }


def api(document: Document) -> Document:
    return document["spec"]["template"]["spec"]["containers"][0]  # type: ignore[no-any-return]


def found(change: Callable[[Document], Any], base: Document | None = None) -> list[tuple[str, Any, Any]]:
    """(field, expected, found) after the live object was changed."""
    rendered = base or deployment()
    live = copy.deepcopy(rendered)
    change(live)
    return [(one.field, one.expected, one.found) for one in differences(rendered, live)]


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


def test_variables_are_named_and_their_values_never_shown() -> None:
    def edited(live: Document) -> None:
        api(live)["env"] = [{"name": "PORT", "value": "s3cret"}, {"name": "DEBUG", "value": "s3cret"}]

    assert found(edited) == [
        (f"{POD}.containers[api].env[PORT]", "as rendered", "another value"),
        (f"{POD}.containers[api].env[EMPTY]", "set", "absent"),
        (f"{POD}.containers[api].env[DEBUG]", "absent", "set"),
    ]


def test_a_variable_that_comes_from_elsewhere_is_another_even_with_an_empty_value() -> None:
    source = {"name": "EMPTY", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}}
    changed = found(lambda live: api(live)["env"].__setitem__(1, source))
    assert changed == [(f"{POD}.containers[api].env[EMPTY]", "as rendered", "another value")]


def test_values_are_hidden_also_where_all_variables_are_gone_or_one_is_there_twice() -> None:
    twice = [{"name": "PORT", "value": "8080"}, {"name": "EMPTY"}, {"name": "PORT", "value": "s3cret"}]
    gone = found(lambda live: api(live).pop("env"))
    assert [one[1:] for one in gone] == [("set", "absent")] * 2
    again = found(lambda live: api(live).update(env=twice))
    assert again == [(f"{POD}.containers[api].env[PORT]", "as rendered", "another value")]
    assert "8080" not in str(found(lambda live: live.pop("spec")))


@pytest.mark.parametrize(
    ("items", "more", "field"),
    [
        ("containers", {"name": "sidecar", "image": "x"}, f"{POD}.containers[sidecar]"),
        ("initContainers", {"name": "wait", "image": "x"}, f"{POD}.initContainers[wait]"),
        ("volumes", {"name": "host", "hostPath": {"path": "/"}}, f"{POD}.volumes[host]"),
        ("imagePullSecrets", {"name": "other"}, f"{POD}.imagePullSecrets[other]"),
    ],
)
def test_what_was_added_to_a_pod_template_is_a_difference(items: str, more: Document, field: str) -> None:
    changed = found(lambda live: live["spec"]["template"]["spec"].setdefault(items, []).append(more))
    assert changed == [(field, "absent", "present")]


def test_added_mounts_and_ports_are_a_difference_and_the_order_of_items_is_not() -> None:
    def edited(live: Document) -> None:
        api(live)["env"].reverse()
        api(live)["volumeMounts"].insert(0, {"name": "tmp", "mountPath": "/etc"})
        api(live)["ports"].append({"containerPort": 8080, "protocol": "UDP"})

    assert sorted(one[0] for one in found(edited)) == [
        f"{POD}.containers[api].ports[8080/UDP]",
        f"{POD}.containers[api].volumeMounts[/etc]",
    ]


def test_what_admission_adds_to_a_pod_itself_is_no_difference() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"volumes": [{"name": "tmp"}]}}
    token = {"name": "kube-api-access-x7", "projected": {}}
    assert found(lambda live: live["spec"]["volumes"].append(token), pod) == []


def test_what_the_cluster_adds_to_an_account_is_no_difference() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "api"}}
    pull = [{"name": "api-dockercfg"}]
    assert found(lambda live: live.update(secrets=pull, imagePullSecrets=pull), account) == []


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


def test_a_selector_with_a_key_more_selects_something_else() -> None:
    changed = found(lambda live: live["spec"]["selector"]["matchLabels"].update(tier="web"))
    assert changed == [("spec.selector.matchLabels.tier", "absent", "web")]


POLICY: Document = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "api"},
    "spec": {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"protocol": "TCP", "port": 80}]}
        ],
        "egress": [],
    },
}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda spec: spec.update(egress=[{}]), "spec.egress[0]"),
        (lambda spec: spec["ingress"].append({}), "spec.ingress[1]"),
        (lambda spec: spec["ingress"][0]["from"][0].update(namespaceSelector={}), "namespaceSelector"),
        (lambda spec: spec["ingress"][0].pop("ports"), "spec.ingress[0].ports"),
        (lambda spec: spec["ingress"][0]["ports"][0].update(endPort=90), "endPort"),
        (lambda spec: spec["podSelector"].update(matchLabels={"app": "none"}), "spec.podSelector.matchLabels"),
    ],
)
def test_a_policy_that_was_opened_or_narrowed_is_a_difference(change: Callable[[Document], Any], field: str) -> None:
    changed = found(lambda live: change(live["spec"]), POLICY)
    assert len(changed) == 1
    assert changed[0][0].endswith(field)
    assert found(lambda live: live["spec"].pop("egress"), POLICY) == []  # an empty list is left out


def test_a_rule_added_where_nothing_was_said_is_a_difference() -> None:
    closed = {**POLICY, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    assert found(lambda live: live["spec"].update(ingress=[{}]), closed) == [("spec.ingress", "absent", "present")]


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


def test_nothing_of_a_secret_is_shown() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "api-1", "annotations": {"note": "hunter2"}},
        "stringData": {"password": "hunter2", "same": "pw", "gone": "hunter3"},
        "immutable": True,
    }
    live = {
        **secret,
        "metadata": {"name": "api-1", "annotations": {"note": "other"}},
        "data": {"password": "b3RoZXI=", "same": "cHc=", "more": "bW9yZQ=="},
    }
    del live["stringData"]
    changed = differences(secret, live)
    assert [(one.field, one.expected, one.found) for one in changed] == [
        ("metadata.annotations.note", "(redacted)", "(redacted), not equal"),
        ("data.password", "(redacted)", "(redacted), not equal"),
        ("data.gone", "(redacted)", "absent"),
        ("data.more", "absent", "(redacted), not equal"),
    ]


def test_an_object_that_is_not_there_is_one_difference() -> None:
    assert [one.line() for one in drift(deployment(), None, "ours")] == [
        "Deployment api: object: expected 'present', found 'absent'"
    ]


def fields_of(value: Any, place: tuple[str, ...] = ()) -> Document:
    """FieldsV1 of what is applied: lists of the API's own keys by these, all others as a whole."""
    out: Document = {}
    for key, one in value.items():
        inner = (*place, key)
        keys = keys_of(inner)
        if isinstance(one, dict) and key not in ("selector", "podSelector", "matchLabels", "nodeSelector"):
            out[f"f:{key}"] = fields_of(one, inner)
        elif isinstance(one, list) and keys:
            items = [({k: i.get(k, "TCP") for k in keys}, fields_of(i, inner)) for i in one]
            out[f"f:{key}"] = {f"k:{json.dumps(k)}": {".": {}, **fields} for k, fields in items}
        else:
            out[f"f:{key}"] = {}
    return out


@pytest.mark.parametrize("owners", [["ours"], ["ours", "kubectl-create"], ["kubectl-create"]])
def test_what_was_applied_as_rendered_has_no_drift_whoever_else_owns_it(owners: list[str]) -> None:
    for rendered in rendered_objects():
        live = copy.deepcopy(rendered)
        body = {key: one for key, one in rendered.items() if key not in ("apiVersion", "kind", "metadata")}
        fields = {**fields_of(body), "f:metadata": {"f:labels": fields_of(rendered["metadata"]["labels"])}}
        live["metadata"]["managedFields"] = [
            {"manager": owner, "operation": "Apply" if owner == "ours" else "Update", "fieldsV1": fields}
            for owner in owners
        ]
        live["status"] = {"phase": "Active"}
        assert drift(rendered, live, "ours") == []


def test_drift_says_who_added_what_once_and_pending_only_what_an_apply_would_change() -> None:
    live = deployment()
    live["spec"]["minReadySeconds"] = 5
    live["metadata"]["labels"]["old"] = "yes"
    api(live)["env"].append({"name": "DEBUG", "value": "1"})
    owned = {"f:k": {}}
    variable = {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}
    container = {'k:{"name":"api"}': {"f:env": variable}}
    spec = {"f:minReadySeconds": {}, "f:template": {"f:spec": {"f:containers": container}}}
    live["metadata"]["managedFields"] = [
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": spec}},
        {"manager": "ours", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:old": {}}, **owned}}},
    ]
    assert [(one.field, one.expected, one.found) for one in drift(deployment(), live, "ours")] == [
        (f"{POD}.containers[api].env[DEBUG]", "absent", "set by kubectl-edit"),
        ("metadata.labels.old", "absent", "set"),
        ("spec.minReadySeconds", "absent", "set by kubectl-edit"),
    ]
    assert [one.field for one in pending(deployment(), live, "ours")] == [
        f"{POD}.containers[api].env[DEBUG]",
        "metadata.labels.old",
    ]
    assert b'"1"' not in canonical([one.model_dump() for one in drift(deployment(), live, "ours")])
