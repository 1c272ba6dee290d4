"""What runs natively on the host, as a Service of its name: its address comes from the environment."""

from __future__ import annotations

from cortex_ops.kernel.errors import InputError
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import Object, labels, named
from cortex_ops.render.kubernetes.policies import deployed, is_address


def host_objects(inputs: RenderInputs) -> list[Object]:
    """Of those that somebody calls. Raises `InputError` when the environment does not say where a required one is."""
    called = {name for service in deployed(inputs).values() for name in service.calls}
    address = inputs.environment.kubernetes.host_address
    out: list[Object] = []
    for name, host in sorted(inputs.stack.host_services.items()):
        if name not in called or (host.optional and not address):
            continue
        if not address:
            raise InputError(
                f"environment {inputs.environment.name} does not say where {name} runs",
                remedy="set `kubernetes.host_address` of the environment in the stack file",
            )
        ports = [{"name": "http", "port": int(host.port), "protocol": "TCP"}]
        if not is_address(address):
            spec = {"type": "ExternalName", "externalName": address, "ports": ports}
            out.append(named(inputs, "Service", "v1", name, "host", spec=spec))
            continue
        out.append(named(inputs, "Service", "v1", name, "host", spec={"ports": ports}))
        slice_ = named(
            inputs,
            "EndpointSlice",
            "discovery.k8s.io/v1",
            name,
            "host",
            addressType="IPv6" if ":" in address else "IPv4",
            endpoints=[{"addresses": [address], "conditions": {"ready": True}}],
            ports=ports,
        )
        slice_["metadata"]["labels"] = {**labels(inputs, name, "host"), "kubernetes.io/service-name": name}
        out.append(slice_)
    return out
