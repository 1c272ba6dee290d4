"""Istio's own kinds in the cluster: what is rendered for them is what they take, and which way was chosen is known.

Istio itself does not run: that sidecars route by the entry is not shown here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from cortex_ops import pipeline
from cortex_ops.render.kubernetes.custom import findings
from deploy.setup.engine import cache_folder
from deploy.setup.kinds import istio_kinds
from tests.support.cluster import ClusterTiny, Object, cluster, cluster_project, kubectl, until

KIND = "serviceentries.networking.istio.io"
HOST = {"mlx": {"port": "8081", "health": "/health"}}


def listed(kind: Object) -> bool:
    """Whether there is a list of this kind's objects. A server that was never asked for one makes it when the kind is
    deleted, and when it is not ready at once, may try again only after minutes."""
    spec = kind["spec"]
    (version,) = (one["name"] for one in spec["versions"] if one["storage"])
    return cluster().get(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}") is not None


@pytest.fixture(scope="module")
def kinds() -> Iterator[list[Object]]:
    """Istio's, for as long as these tests run."""
    assert not kubectl("get", "crd", KIND, "--ignore-not-found"), "this cluster has Istio; nothing of it is touched"
    found = [one for one in yaml.safe_load_all(istio_kinds(cache_folder()).read_text()) if one]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": found})
    try:
        kubectl("create", "-f", "-", stdin=text)
        until("Istio's kinds", lambda: all(listed(one) for one in found))
        yield found
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("istio"), address) as project:
        host = {"kubernetes": {"host_address": "192.0.2.7"}}
        project.stack(
            {"host_services": HOST, "services": {"api": {"calls": ["mlx"]}}, "environments": {"local": host}}
        )
        yield project


def way(tiny: ClusterTiny) -> str:
    service = json.loads(kubectl("-n", tiny.namespace, "get", "service", "mlx", "-o", "json"))
    return str(service["metadata"]["annotations"]["org.cortex-ops/reached-by"])


def test_without_istio_the_host_is_behind_a_service_of_its_address(tiny: ClusterTiny) -> None:
    assert tiny.release().ok
    assert way(tiny) == "endpointslice"


def test_with_istio_the_entry_is_applied_as_its_real_kind_takes_it(tiny: ClusterTiny, kinds: list[Object]) -> None:
    step = tiny.release()
    assert step.ok and not step.noop
    assert way(tiny) == "istio"
    (entry,) = tiny.objects(KIND)
    assert entry["spec"]["hosts"] == ["mlx"] and entry["spec"]["endpoints"] == [{"address": "192.0.2.7"}]
    placed = tiny.wire().history("local").placed(step.record.seq)
    assert placed is not None
    assert 'kind: "ServiceEntry"' in placed.bundle.files["20-host.yaml"]
    assert tiny.target().drift(placed, step.record.seq) == [] and tiny.release().noop


def test_an_entry_that_is_edited_by_hand_is_drift_and_put_right(tiny: ClusterTiny, kinds: list[Object]) -> None:
    patch = json.dumps({"spec": {"endpoints": [{"address": "192.0.2.8"}]}})
    kubectl("-n", tiny.namespace, "patch", KIND, "mlx", "--type=merge", "-p", patch)
    health = pipeline.health(tiny.wire(), "local")
    assert any("ServiceEntry mlx" in line for line in health.drift or ())
    assert tiny.release().ok
    (entry,) = tiny.objects(KIND)
    assert entry["spec"]["endpoints"] == [{"address": "192.0.2.7"}]


@pytest.mark.parametrize(
    "wrong", [{"resolution": "SOMETIMES"}, {"location": "NOWHERE"}, {"hosts": []}, {"ports": [{"name": "http"}]}]
)
def test_what_we_would_not_render_is_what_the_real_kind_refuses(
    tiny: ClusterTiny, kinds: list[Object], wrong: Object
) -> None:
    (entry,) = tiny.objects(KIND)
    document = {
        "apiVersion": entry["apiVersion"],
        "kind": entry["kind"],
        "metadata": {"name": "wrong", "namespace": tiny.namespace},
        "spec": {**entry["spec"], **wrong},
    }
    said = kubectl("create", "--dry-run=server", "-f", "-", "-o", "name", stdin=json.dumps(document), check=False)
    assert said == "" and findings(document)


def test_when_istio_is_gone_the_next_release_goes_by_the_service_alone(
    tiny: ClusterTiny, kinds: list[Object]
) -> None:
    kubectl("delete", "crd", KIND)
    step = tiny.release()
    assert step.ok and not step.noop and way(tiny) == "endpointslice"
    assert tiny.release().noop
