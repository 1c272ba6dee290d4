"""Which flows the rendered policies let through, on the cluster: what is declared is open, all else is closed, for
all pairs; and each closed one is first seen open without policies, so that nothing is closed for another reason.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.stack.naming import STORE_PORTS
from deploy.setup.cluster.network import ADDRESS
from tests.support.cluster import kubectl, own_node, remove_namespace, until
from tests.support.cluster_inputs import Document, inputs
from tests.support.prober import Prober, addresses, announce, build, pod, rounds

UNDECLARED = 9999  # every pod listens there, and nobody may call it
RUNNER = "integration-tests"
Flow = tuple[str, str]  # prober, `address port`


@pytest.fixture(scope="module")
def mark() -> str:
    return f"t{secrets.token_hex(3)}"


@pytest.fixture(scope="module")
def given(mark: str) -> RenderInputs:
    """The sample, in a namespace of this test."""

    def here(document: Document) -> None:
        document["environments"]["local"]["kubernetes"] = {
            "namespace": mark,
            "ingress_namespace": f"{mark}-ingress",
            "monitoring_namespace": f"{mark}-monitoring",
            "host_address": ADDRESS,
        }

    return inputs(here)


def probers_of(given: RenderInputs, mark: str) -> list[Prober]:
    """One for each workload, with the labels that its pods have; and three that are none of them."""

    def labels(name: str) -> dict[str, str]:
        return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": given.stack.name}

    services = {n: s for n, s in given.stack.services.items() if not s.optional}
    out = [Prober(n, mark, labels(n), (int(s.port), UNDECLARED)) for n, s in services.items()]
    for name, store in given.stack.stores.items():
        out.append(Prober(name, mark, labels(name), (*map(int, STORE_PORTS[store.kind]), UNDECLARED)))
    jobs = [f"{n}-migrate" for n, s in services.items() if s.migrations is not None]
    out += [Prober(name, mark, labels(name), (UNDECLARED,)) for name in (*jobs, RUNNER)]
    out.append(Prober("stranger", mark, {"app.kubernetes.io/name": "stranger"}, (UNDECLARED,)))
    for place in ("ingress", "monitoring"):
        # As an ingress controller and a Prometheus would be: of another namespace, with labels of their own.
        out.append(Prober(place, f"{mark}-{place}", {"app": place}, (UNDECLARED,)))
    return out


def declared(given: RenderInputs, at: dict[str, str], dns: str, host: str) -> set[Flow]:
    """From the stack file's own words, not from what was rendered."""
    stack = given.stack
    services = {n: s for n, s in stack.services.items() if not s.optional}

    def ports(name: str) -> tuple[str, ...]:
        return (services[name].port,) if name in services else STORE_PORTS[stack.stores[name].kind]

    flows: set[Flow] = set()
    for caller, service in services.items():
        for called in service.calls:
            if called in services or called in stack.stores:
                flows |= {(caller, f"{at[called]} {port}") for port in ports(called)}
            elif called in stack.host_services and host:
                flows.add((caller, f"{host} {stack.host_services[called].port}"))
        if service.migrations is not None:
            store = service.migrations.store
            flows |= {(f"{caller}-migrate", f"{at[store]} {port}") for port in ports(store)}
            flows.add((f"{caller}-migrate", f"{dns} 53"))
        if service.route is not None:
            flows |= {(one, f"{at[caller]} {service.port}") for one in (RUNNER, "ingress")}
        flows.add(("monitoring", f"{at[caller]} {service.port}"))
        flows.add((caller, f"{dns} 53"))
    return flows | {(RUNNER, f"{dns} 53")}


@pytest.fixture(scope="module")
def host_service(given: RenderInputs) -> Iterator[str]:
    """Something that listens on the host where model servers would; its address, or nothing on another's nodes."""
    if own_node() is None:
        yield ""
        return
    with contextlib.ExitStack() as listening:
        for port in host_ports(given):
            server = listening.enter_context(socket.create_server((ADDRESS, int(port))))
            listening.callback(server.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield ADDRESS


def host_ports(given: RenderInputs) -> list[str]:
    return sorted({host.port for host in given.stack.host_services.values()})


def accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def test_what_is_declared_is_open_and_every_other_flow_is_closed(
    given: RenderInputs, mark: str, address: str, host_service: str, tmp_path: Path
) -> None:
    documents = [one for text in render_kubernetes(given).files.values() for one in yaml.safe_load_all(text)]
    policies = [one for one in documents if one["kind"] == "NetworkPolicy"]
    namespace = next(one for one in documents if one["kind"] == "Namespace")
    probers = probers_of(given, mark)
    spaces = [mark, f"{mark}-ingress", f"{mark}-monitoring"]
    try:
        kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
        for space in spaces[1:]:
            kubectl("create", "namespace", space)
        image = build(tmp_path, address)
        pods = [pod(one, image) for one in probers]
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
        for space in spaces:
            kubectl("-n", space, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
        at = addresses(probers)
        dns = kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", "jsonpath={.spec.clusterIP}")
        targets = {f"{at[one.name]} {port}" for one in probers for port in one.ports} | {f"{dns} 53"}
        if host_service:
            targets |= {f"{host_service} {port}" for port in host_ports(given)}
        announce(probers, targets)

        everything = set(itertools.product((one.name for one in probers), targets))
        assert settled(probers, everything) == everything, "without policies every flow is open"

        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": policies}))
        wanted = declared(given, at, dns, host_service)
        # A pod reaches itself whatever the policies say; and those of other namespaces are closed by nothing of ours.
        free = {flow for flow in everything if flow[1].startswith(f"{at[flow[0]]} ")}
        outside = {"ingress", "monitoring"}
        free |= {(one, t) for one in outside for t in targets if not t.startswith(inside(at, outside))}
        found = settled(probers, wanted | free)
        assert found - free == wanted - free, explained(found - free, wanted - free, at)
        assert len(everything - wanted - free) > 300, "closed flows, each of which was open before"
    finally:
        for space in spaces:
            remove_namespace(space)


def inside(at: dict[str, str], outside: set[str]) -> tuple[str, ...]:
    return tuple(f"{address} " for name, address in at.items() if name not in outside)


def settled(probers: list[Prober], wanted: set[Flow]) -> set[Flow]:
    """What is open in a whole round of every prober: as `wanted`, twice in a row; or what it is after a minute."""
    end = time.monotonic() + 60
    good = 0
    while True:
        since = time.time() * 1000

        def whole(since: float = since) -> set[Flow] | None:
            seen = {one.name: rounds(one, since) for one in probers}
            if not all(seen.values()):
                return None
            return {(name, target) for name, some in seen.items() for target in some[-1]}

        found: set[Flow] = until("a round of every prober", lambda: whole(), 60)
        good = good + 1 if found == wanted else 0
        if good == 2 or time.monotonic() > end:
            return found


def explained(found: set[Flow], wanted: set[Flow], at: dict[str, str]) -> str:
    names = {address: name for name, address in at.items()}

    def say(flow: Flow) -> str:
        host, _, port = flow[1].partition(" ")
        return f"{flow[0]} → {names.get(host, host)}:{port}"

    return f"open: {sorted(map(say, found - wanted))}; closed: {sorted(map(say, wanted - found))}"
