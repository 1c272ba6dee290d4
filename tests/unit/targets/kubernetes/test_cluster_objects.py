"""What names an object of a cluster, and when it is applied."""

from __future__ import annotations

import pytest

from cortex_ops.kernel.errors import OpsError
from cortex_ops.targets.kubernetes.objects import Ref, order

DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "shop"}}


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
    ordered = [one["kind"] for one in sorted(({"kind": kind} for kind in kinds), key=lambda one: order(one["kind"]))]
    assert ordered == [
        "Namespace",
        "Service",
        "PrometheusRule",
        "Secret",
        "Deployment",
        "StatefulSet",
        "HorizontalPodAutoscaler",
    ]
