"""How pods reach what runs natively on the host: by Istio where the cluster has it, else by Kubernetes alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from cortex_ops.kernel.errors import InputError
from cortex_ops.render.compose import render_compose
from cortex_ops.render.equivalence import differences
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.kubernetes.host import chosen, host_objects
from cortex_ops.render.kubernetes.policy import judge
from cortex_ops.render.kubernetes.strict import findings
from tests.support.cluster_inputs import Document, inputs

ISTIO = {"istio": "yes"}
WAY = "org.cortex-ops/reached-by"


def by(address: str, capabilities: dict[str, str] | None = None) -> RenderInputs:
    def change(document: Document) -> None:
        document["environments"]["local"]["kubernetes"] = {"host_address": address} if address else {}

    return inputs(change, capabilities=capabilities)


def objects(given: RenderInputs, name: str = "mlx") -> dict[str, Document]:
    return {one["kind"]: one for one in host_objects(given) if one["metadata"]["name"] == name}


def test_with_istio_an_address_is_a_service_entry_beside_what_resolves_the_name() -> None:
    found = objects(by("192.0.2.7", ISTIO))
    assert set(found) == {"Service", "EndpointSlice", "ServiceEntry"}
    assert found["ServiceEntry"]["apiVersion"] == "networking.istio.io/v1"
    assert found["ServiceEntry"]["spec"] == {
        "hosts": ["mlx"],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 8081, "name": "http", "protocol": "HTTP"}],
        "endpoints": [{"address": "192.0.2.7"}],
    }
    assert found["EndpointSlice"]["endpoints"][0]["addresses"] == ["192.0.2.7"]


def test_with_istio_a_name_is_resolved_by_the_sidecar_and_by_a_cname() -> None:
    found = objects(by("mac.example.test", ISTIO))
    assert set(found) == {"Service", "ServiceEntry"}
    spec = found["ServiceEntry"]["spec"]
    assert (spec["resolution"], spec["endpoints"]) == ("DNS", [{"address": "mac.example.test"}])
    assert found["Service"]["spec"]["externalName"] == "mac.example.test"


def test_an_ipv6_address_is_one() -> None:
    found = objects(by("2001:db8::7", ISTIO))
    assert found["ServiceEntry"]["spec"]["resolution"] == "STATIC"
    assert found["EndpointSlice"]["addressType"] == "IPv6"


def test_istio_does_not_see_the_service_that_only_resolves_the_name() -> None:
    """It would take the ServiceEntry for a remark on the Service, and its route for that name would win."""
    hidden = objects(by("192.0.2.7", ISTIO))["Service"]["metadata"]["annotations"]
    assert hidden["networking.istio.io/exportTo"] == "~"
    for address in ("192.0.2.7", "mac.example.test"):
        assert set(objects(by(address))["Service"]["metadata"]["annotations"]) == {WAY}


@pytest.mark.parametrize(
    ("address", "capabilities", "way"),
    [
        ("192.0.2.7", ISTIO, "istio"),
        ("mac.example.test", ISTIO, "istio"),
        ("192.0.2.7", {}, "endpointslice"),
        ("192.0.2.7", {"istio": "no"}, "endpointslice"),
        ("192.0.2.7", {"istio": ""}, "endpointslice"),
        ("mac.example.test", {"istio": "no"}, "externalname"),
        ("mac.example.test", {}, "externalname"),
    ],
)
def test_what_was_chosen_is_said_and_written_on_the_objects(
    address: str, capabilities: dict[str, str], way: str
) -> None:
    given = by(address, capabilities)
    assert chosen(given) == {"mlx": way, "ollama": way}
    marked = [one for one in objects(given).values() if one["kind"] != "EndpointSlice"]
    assert {one["metadata"]["annotations"][WAY] for one in marked} == {way}
    assert ("ServiceEntry" in objects(given)) == (way == "istio")


def test_only_what_somebody_calls_is_reached() -> None:
    def alone(document: Document) -> None:
        document["services"]["model-gateway"]["calls"] = ["mlx"]

    assert chosen(inputs(alone, capabilities=ISTIO)) == {"mlx": "istio"}


def test_where_nobody_says_where_the_host_is_nothing_is_chosen() -> None:
    with pytest.raises(InputError, match="does not say where mlx runs"):
        chosen(by("", ISTIO))


@pytest.mark.parametrize("address", ["192.0.2.7", "mac.example.test"])
def test_the_rendering_with_istio_may_be_applied_and_is_the_same_system(address: str) -> None:
    given = by(address, ISTIO)
    bundle = render_kubernetes(given)
    assert judge(bundle.files) == []
    assert differences(given, render_compose(given), bundle) == []


Damage = Callable[[Document], Any]
DAMAGED: dict[str, tuple[Damage, str]] = {
    "a name to be reached by address": (
        lambda d: d["spec"]["endpoints"][0].update(address="mac.example.test"),
        "spec.endpoints[0].address: found 'mac.example.test', expected an address",
    ),
    "another resolution": (
        lambda d: d["spec"].update(resolution="static"),
        "spec.resolution: found 'static', expected one of NONE, STATIC, DNS",
    ),
    "a port as text": (
        lambda d: d["spec"]["ports"][0].update(number="8081"),
        "spec.ports[0].number: found '8081', expected int",
    ),
    "no host": (lambda d: d["spec"].update(hosts=[]), "spec.hosts: found [], expected a list that is not empty"),
    "no ports": (lambda d: d["spec"].pop("ports"), "spec.ports: found nothing, expected a value"),
    "a truth value": (
        lambda d: d["metadata"]["labels"].update(x=True),
        "metadata.labels.x: found True, expected str",
    ),
    "a slip": (lambda d: d["spec"].update(exportto=["."]), "spec.exportto: found an unknown key, expected one of"),
    "a list": (lambda d: d.update(spec=[]), "spec: found [], expected a mapping"),
    "no namespace": (lambda d: d["metadata"].pop("namespace"), "metadata.namespace: found nothing, expected a value"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_service_entry_that_istio_would_refuse_is_named_with_its_place(what: str) -> None:
    damage, sentence = DAMAGED[what]
    document = copy.deepcopy(objects(by("192.0.2.7", ISTIO))["ServiceEntry"])
    assert findings(document) == []
    damage(document)
    (found,) = findings(document)
    assert found.startswith(sentence)
