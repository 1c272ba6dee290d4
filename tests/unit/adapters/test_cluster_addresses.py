"""Where the API server keeps an object: as the server itself says it."""

from __future__ import annotations

from typing import Any

import pytest

from cortex_ops.adapters.cluster import Cluster
from cortex_ops.kernel.errors import RefusedError

RULES = "monitoring.coreos.com/v1"
SERVED: dict[str, Any] = {
    "/api/v1": {
        "resources": [
            {"name": "services", "kind": "Service", "namespaced": True},
            {"name": "services/status", "kind": "Service", "namespaced": True},
            {"name": "namespaces", "kind": "Namespace", "namespaced": False},
        ]
    },
    f"/apis/{RULES}": {"resources": [{"name": "prometheusrules", "kind": "PrometheusRule", "namespaced": True}]},
}


class StandInCluster(Cluster):
    """Answers what kinds it has, and counts how often it was asked."""

    asked = 0

    def get(self, path: str, **how: Any) -> Any:
        self.asked += 1
        return SERVED.get(path)

    @property
    def address(self) -> str:
        return "https://cluster.test"


def document(api: str, kind: str, namespace: str = "") -> dict[str, Any]:
    metadata = {"name": "api", **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata}


@pytest.mark.parametrize(
    ("api", "kind", "address"),
    [
        ("v1", "Service", "/api/v1/namespaces/shop/services/api"),
        ("v1", "Namespace", "/api/v1/namespaces/api"),
        (
            "monitoring.coreos.com/v1",
            "PrometheusRule",
            "/apis/monitoring.coreos.com/v1/namespaces/shop/prometheusrules/api",
        ),
    ],
)
def test_an_address_is_the_one_that_the_server_serves(api: str, kind: str, address: str) -> None:
    assert StandInCluster().path_of(document(api, kind, "shop")) == address


def test_a_kind_that_the_server_does_not_have_is_refused_by_name() -> None:
    for api in ("v1", "networking.istio.io/v1"):
        with pytest.raises(RefusedError, match=rf"no kind ServiceEntry \({api}\)"):
            StandInCluster().path_of(document(api, "ServiceEntry", "shop"))


def test_the_server_is_asked_once_for_an_api() -> None:
    cluster = StandInCluster()
    for _ in range(3):
        cluster.collection("v1", "Service", "shop")
    assert cluster.asked == 1


def test_without_a_namespace_a_collection_is_the_whole_clusters() -> None:
    assert StandInCluster().collection("v1", "Service") == "/api/v1/services"
