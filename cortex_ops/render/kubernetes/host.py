"""What runs natively on the host, as a Service of its name: its address comes from the environment.

Pods resolve `mlx` by the Service, whatever else is there: behind it are an EndpointSlice for an address, or a CNAME
for a name. Where the cluster has Istio, a ServiceEntry of that very name is added, by which sidecars route. Alone it
would not do: a ServiceEntry gives a name to no resolver unless Istio's DNS proxy is on. Nor would it under the
Service's full name: Istio takes a ServiceEntry of a Service's name for a remark on that Service and ignores its
endpoints. So its host is the short name, which is what callers say in their Host header, and the Service is hidden
from Istio (`exportTo: ~`). A pod without a sidecar goes by the Service as it would without Istio.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from cortex_ops.kernel.errors import InputError
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import Object, labels, named
from cortex_ops.render.kubernetes.policies import deployed, is_address
from cortex_ops.stack.schema import HostService

Way = Literal["istio", "endpointslice", "externalname"]

WAY = "org.cortex-ops/reached-by"  # annotation of the Service and of the ServiceEntry
HIDDEN = {"networking.istio.io/exportTo": "~"}


def chosen(inputs: RenderInputs) -> dict[str, Way]:
    """How each host service that somebody calls is reached. Raises like `host_objects`."""
    return {name: _way(inputs, address) for name, _, address in _called(inputs)}


def host_objects(inputs: RenderInputs) -> list[Object]:
    """Of those that somebody calls. Raises `InputError` when the environment does not say where a required one is."""
    out: list[Object] = []
    for name, host, address in _called(inputs):
        way = _way(inputs, address)
        objects = _by_address(inputs, name, host, address) if is_address(address) else []
        objects = objects or [_by_name(inputs, name, host, address)]
        if way == "istio":
            objects[0]["metadata"]["annotations"] = dict(HIDDEN)
            objects.append(_entry(inputs, name, host, address))
        for one in (one for one in objects if one["kind"] != "EndpointSlice"):
            one["metadata"].setdefault("annotations", {})[WAY] = way
        out += objects
    return out


def _called(inputs: RenderInputs) -> Iterator[tuple[str, HostService, str]]:
    """(name, model, address or name of the host), in the order of the names."""
    called = {name for service in deployed(inputs).values() for name in service.calls}
    address = inputs.environment.kubernetes.host_address
    for name, host in sorted(inputs.stack.host_services.items()):
        if name not in called or (host.optional and not address):
            continue
        if not address:
            raise InputError(
                f"environment {inputs.environment.name} does not say where {name} runs",
                remedy="set `kubernetes.host_address` of the environment in the stack file",
            )
        yield name, host, address


def _way(inputs: RenderInputs, address: str) -> Way:
    if inputs.capabilities.get("istio") == "yes":
        return "istio"
    return "endpointslice" if is_address(address) else "externalname"


def _ports(host: HostService) -> list[Object]:
    return [{"name": "http", "port": int(host.port), "protocol": "TCP"}]


def _by_name(inputs: RenderInputs, name: str, host: HostService, address: str) -> Object:
    spec = {"type": "ExternalName", "externalName": address, "ports": _ports(host)}
    return named(inputs, "Service", "v1", name, "host", spec=spec)


def _by_address(inputs: RenderInputs, name: str, host: HostService, address: str) -> list[Object]:
    slice_ = named(
        inputs,
        "EndpointSlice",
        "discovery.k8s.io/v1",
        name,
        "host",
        addressType="IPv6" if ":" in address else "IPv4",
        endpoints=[{"addresses": [address], "conditions": {"ready": True}}],
        ports=_ports(host),
    )
    slice_["metadata"]["labels"] = {**labels(inputs, name, "host"), "kubernetes.io/service-name": name}
    return [named(inputs, "Service", "v1", name, "host", spec={"ports": _ports(host)}), slice_]


def _entry(inputs: RenderInputs, name: str, host: HostService, address: str) -> Object:
    spec = {
        "hosts": [name],
        "exportTo": ["."],
        "location": "MESH_EXTERNAL",
        "resolution": "STATIC" if is_address(address) else "DNS",
        "ports": [{"number": int(host.port), "name": "http", "protocol": "HTTP"}],
        "endpoints": [{"address": address}],
    }
    return named(inputs, "ServiceEntry", "networking.istio.io/v1", name, "host", spec=spec)
