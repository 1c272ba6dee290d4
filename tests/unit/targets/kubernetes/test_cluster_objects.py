"""What names an object of a cluster, where the API keeps it, and when it is applied."""

from __future__ import annotations

from typing import Any

import pytest

from cortex_ops.kernel.errors import OpsError
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.yaml_output import read_all_yaml
from cortex_ops.targets.kubernetes.objects import Ref, collection, discovered, in_order, path, resource
from tests.support.cluster_inputs import inputs

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "shop"}}
RULES: dict[str, Any] = {
    "kind": "APIResourceList",
    "groupVersion": "monitoring.coreos.com/v1",
    "resources": [
        {"name": "prometheusrules", "kind": "PrometheusRule", "namespaced": True},
        {"name": "prometheusrules/status", "kind": "PrometheusRule", "namespaced": True},
    ],
}


def test_a_reference_says_what_a_person_calls_the_object_and_survives_being_stored() -> None:
    live = {**DEPLOYMENT, "metadata": {**DEPLOYMENT["metadata"], "uid": "u-1"}}  # type: ignore[dict-item]
    ref = Ref.of(live)
    assert ref.label() == "Deployment api"
    assert ref.uid == "u-1"
    assert Ref.from_json(ref.to_json()) == ref


def test_two_versions_of_an_api_name_the_same_object() -> None:
    old = Ref(api_version="autoscaling/v1", kind="HorizontalPodAutoscaler", namespace="shop", name="api")
    new = old.model_copy(update={"api_version": "autoscaling/v2"})
    assert old.key() == new.key()


def test_a_document_that_names_no_object_is_an_error() -> None:
    with pytest.raises(OpsError, match=r"metadata\.name"):
        Ref.of({"apiVersion": "v1", "kind": "Service", "metadata": {}})


def test_addresses_are_those_of_the_api() -> None:
    core = Ref(api_version="v1", kind="Service", namespace="shop", name="api")
    space = Ref(api_version="v1", kind="Namespace", name="shop")
    assert path(core) == "/api/v1/namespaces/shop/services/api"
    assert path(space) == "/api/v1/namespaces/shop"
    assert path(Ref.of(DEPLOYMENT), part="scale") == "/apis/apps/v1/namespaces/shop/deployments/api/scale"
    assert collection(resource("apps/v1", "ReplicaSet"), "shop") == "/apis/apps/v1/namespaces/shop/replicasets"
    assert (
        collection(resource("storage.k8s.io/v1", "StorageClass"), "shop") == "/apis/storage.k8s.io/v1/storageclasses"
    )


def test_a_kind_that_the_cluster_was_asked_for_has_an_address_too() -> None:
    rule = Ref(api_version="monitoring.coreos.com/v1", kind="PrometheusRule", namespace="shop", name="alerts")
    expected = "/apis/monitoring.coreos.com/v1/namespaces/shop/prometheusrules/alerts"
    assert path(rule, discovered(RULES)) == expected
    with pytest.raises(OpsError, match=r"PrometheusRule of monitoring\.coreos\.com/v1"):
        path(rule)


def test_an_object_of_a_namespace_is_never_looked_for_outside_one() -> None:
    with pytest.raises(OpsError, match="Service api names no namespace"):
        path(Ref(api_version="v1", kind="Service", name="api"))


def test_every_kind_that_is_rendered_has_an_address() -> None:
    for text in render_kubernetes(inputs()).files.values():
        for document in read_all_yaml(text):
            assert path(Ref.of(document)).endswith(f"/{document['metadata']['name']}")


def test_what_pods_need_is_applied_before_them_and_what_follows_them_after() -> None:
    kinds = [
        "HorizontalPodAutoscaler",
        "Deployment",
        "Service",
        "PrometheusRule",
        "StatefulSet",
        "Secret",
        "Namespace",
    ]
    ordered = [one["kind"] for one in in_order([{"kind": kind} for kind in kinds])]
    assert ordered == [
        "Namespace",
        "Service",
        "PrometheusRule",
        "Secret",
        "Deployment",
        "StatefulSet",
        "HorizontalPodAutoscaler",
    ]
