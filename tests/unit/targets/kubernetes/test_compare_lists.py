"""Items of lists, selectors and policies: what was added, taken away or opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cluster_live import POD, Document, api, found


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
