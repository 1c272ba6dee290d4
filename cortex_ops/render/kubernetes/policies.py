"""Who may talk to whom, from the declared calls and nothing else. All that is not named is closed, both ways."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import Object, named, selector
from cortex_ops.stack.naming import RUNNER, STORE_PORTS
from cortex_ops.stack.schema import Service

NAMESPACE = "kubernetes.io/metadata.name"  # which every namespace carries
PRIVATE = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"]


def policies(inputs: RenderInputs) -> list[Object]:
    """One for each workload, and one that closes everything else."""
    everything = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    out = [named(inputs, "NetworkPolicy", "networking.k8s.io/v1", "default-deny", "policy", spec=everything)]
    stack = inputs.stack
    for name, service in deployed(inputs).items():
        allowed = [_to(inputs, called) for called in service.calls if _is_here(inputs, called)]
        out.append(_policy(inputs, name, _callers(inputs, name, service), [*allow_dns(), *_flat(allowed)]))
    for name, store in stack.stores.items():
        callers = [caller for caller, service in deployed(inputs).items() if name in service.calls]
        callers += [
            f"{one}-migrate" for one, s in deployed(inputs).items() if s.migrations and s.migrations.store == name
        ]
        out.append(_policy(inputs, name, _from(inputs, callers, list(STORE_PORTS[store.kind])), []))
    for name, service in deployed(inputs).items():
        if service.migrations is not None:
            out.append(_policy(inputs, f"{name}-migrate", [], [*allow_dns(), *_to(inputs, service.migrations.store)]))
    if stack.tests is not None:
        routed = [name for name, service in deployed(inputs).items() if service.route is not None]
        out.append(_policy(inputs, RUNNER, [], [*allow_dns(), *_flat([_to(inputs, name) for name in routed])]))
    return out


def deployed(inputs: RenderInputs) -> dict[str, Service]:
    """In name order, without the optional ones."""
    return {name: one for name, one in sorted(inputs.stack.services.items()) if not one.optional}


def _policy(inputs: RenderInputs, name: str, ingress: list[Object], egress: list[Object]) -> Object:
    spec: Object = {"podSelector": {"matchLabels": selector(inputs, name)}, "policyTypes": ["Ingress", "Egress"]}
    # The server keeps no empty list, so that `kubectl diff` would show one as a change for ever.
    spec |= {way: rules for way, rules in (("ingress", ingress), ("egress", egress)) if rules}
    return named(inputs, "NetworkPolicy", "networking.k8s.io/v1", name, "policy", spec=spec)


def _callers(inputs: RenderInputs, name: str, service: Service) -> list[Object]:
    callers = [caller for caller, one in deployed(inputs).items() if name in one.calls]
    if service.route is not None and inputs.stack.tests is not None:
        callers.append(RUNNER)
    out = _from(inputs, callers, [service.port])
    outside = inputs.environment.kubernetes.ingress_namespace
    wanted = [outside] if service.route is not None and outside else []
    if inputs.environment.kubernetes.monitoring_namespace:
        wanted.append(inputs.environment.kubernetes.monitoring_namespace)
    if wanted:
        others = [{"namespaceSelector": {"matchLabels": {NAMESPACE: one}}} for one in wanted]
        out.append({"from": others, "ports": _ports([service.port])})
    return out


def _from(inputs: RenderInputs, callers: list[str], ports: list[str]) -> list[Object]:
    peers = [{"podSelector": {"matchLabels": selector(inputs, caller)}} for caller in sorted(callers)]
    return [{"from": peers, "ports": _ports(ports)}] if peers else []


def _to(inputs: RenderInputs, called: str) -> list[Object]:
    stack = inputs.stack
    if called in stack.services or called in stack.stores:
        numbers = (
            [stack.services[called].port] if called in stack.services else STORE_PORTS[stack.stores[called].kind]
        )
        return [{"to": [{"podSelector": {"matchLabels": selector(inputs, called)}}], "ports": _ports(numbers)}]
    if called in stack.host_services:
        address = inputs.environment.kubernetes.host_address
        ports = _ports([stack.host_services[called].port])
        if address and is_address(address):
            wide = 128 if ":" in address else 32
            return [{"to": [{"ipBlock": {"cidr": f"{address}/{wide}"}}], "ports": ports}]
        return [{"ports": ports}]  # a name whose address is known only to the cluster's DNS
    # The edge: policies know no host names, so public addresses by TLS; the allowlist is the edge's own.
    return [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}}], "ports": _ports(["443"])}]


def allow_dns() -> list[Object]:
    peer = {
        "namespaceSelector": {"matchLabels": {NAMESPACE: "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return [{"to": [peer], "ports": [{"protocol": one, "port": 53} for one in ("UDP", "TCP")]}]


def _ports(ports: Sequence[str]) -> list[Object]:
    return [{"protocol": "TCP", "port": int(port)} for port in ports]


def _is_here(inputs: RenderInputs, called: str) -> bool:
    return called not in inputs.stack.services or not inputs.stack.services[called].optional


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _flat(lists: list[list[Object]]) -> list[Object]:
    return [one for each in lists for one in each]
