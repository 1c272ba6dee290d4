"""One release's project: its services under keys that carry the sequence, and its one-shot jobs.

Compose makes a service's key an alias on every network it joins; with plain keys two releases would answer to
one name on the stores' network. So the plain names are aliases on the release's own network only.
"""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.values import Placement
from cortex_ops.render.compose.common import (
    LABEL,
    hardened,
    image_fields,
    labels,
    limits,
    mount,
    secret_paths,
    started,
)
from cortex_ops.render.compose.edge import routes
from cortex_ops.render.inputs import SECRETS, RenderInputs
from cortex_ops.stack.naming import CONTROL_PORT, RUNNER
from cortex_ops.stack.schema import Service

HOST = "host.docker.internal"


def release_document(inputs: RenderInputs, placement: Placement) -> dict[str, Any]:
    services: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    for name, service in inputs.stack.services.items():
        if service.optional:
            continue
        services[f"{name}-r{placement.seq}"] = _service(inputs, placement, name, service)
        if service.migrations is not None:
            services[f"{name}-migrate-r{placement.seq}"] = _migration(inputs, placement, name, service)
        if service.secrets:
            volumes[f"{name}-secrets"] = {"name": inputs.secret_volume(name), "external": True}
        for number in range(len(service.volumes)):
            volumes[f"{name}-volume-{number}"] = {"name": f"{inputs.prefix}-{name}-volume-{number}"}
    if inputs.stack.tests is not None:
        services[f"{RUNNER}-r{placement.seq}"] = _tests(inputs, placement)
        if inputs.stack.tests.secrets:
            volumes[f"{RUNNER}-secrets"] = {
                "name": inputs.secret_volume(RUNNER),
                "external": True,
            }
    used = {network for service in services.values() for network in service["networks"]}
    known = {
        "release": {"internal": True},
        "egress": {},
        "stores": {"name": inputs.network("stores"), "external": True},
        "proxy": {"name": inputs.network("proxy"), "external": True},
        "candidate": {"name": inputs.network("candidate"), "external": True},
    }
    return {
        "services": services,
        "networks": {name: value for name, value in known.items() if name in used},
        "volumes": volumes,
    }


def environment_of(inputs: RenderInputs, name: str, service: Service, placement: Placement) -> dict[str, str]:
    """The variables of one service, by the names that its code reads."""
    env = {
        **inputs.environment.env[name],
        "PORT": service.port,
        "HOST": "0.0.0.0",
        "CORTEX_RELEASE": f"r{placement.seq}",
        **secret_paths(service),
    }
    if service.handover == "paused":
        env["CORTEX_LIVE_URL"] = f"http://edge:{CONTROL_PORT}/live"
    return env


def _networks(inputs: RenderInputs, name: str, service: Service, placement: Placement) -> dict[str, Any]:
    out: dict[str, Any] = {"release": {"aliases": [name]}}
    if any(called in inputs.stack.stores for called in service.calls):
        out["stores"] = {}
    if service.route is not None:
        out["proxy"] = {"aliases": [f"{name}-{placement.slot}"]}
    elif service.handover == "paused":
        out["proxy"] = {}
    if _leaves(inputs, service):
        out["egress"] = {}
    return out


def _leaves(inputs: RenderInputs, service: Service) -> bool:
    return any(called == "edge" or called in inputs.stack.host_services for called in service.calls)


def _base(inputs: RenderInputs, name: str, service: Service, placement: Placement) -> dict[str, Any]:
    ref = inputs.image(name)
    resources = inputs.environment.resources[name]
    out: dict[str, Any] = {**image_fields(ref)}
    if ref.user:
        out["user"] = ref.user
    out["environment"] = environment_of(inputs, name, service, placement)
    out |= hardened(tmpfs=service.writable, pids=resources.pids)
    out |= limits(resources.memory, resources.cpu)
    out["volumes"] = [mount(f"{name}-secrets", SECRETS, read_only=True)] if service.secrets else []
    out["volumes"] += [mount(f"{name}-volume-{i}", v.path) for i, v in enumerate(service.volumes)]
    return out


def _service(inputs: RenderInputs, placement: Placement, name: str, service: Service) -> dict[str, Any]:
    out = _base(inputs, name, service, placement) | started(service, service.command)
    out["networks"] = _networks(inputs, name, service, placement)
    if _leaves(inputs, service) and inputs.capabilities.get("host_gateway", "needed") == "needed":
        out["extra_hosts"] = [f"{HOST}:host-gateway"]
    called = [c for c in service.calls if c in inputs.stack.services and not inputs.stack.services[c].optional]
    if called:
        out["depends_on"] = {f"{c}-r{placement.seq}": {"condition": "service_healthy"} for c in called}
    if service.probes.command:
        out["healthcheck"] = {
            "test": ["CMD", *service.probes.command],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "60s",
            "start_interval": "500ms",
        }
    out["restart"] = "unless-stopped"
    out["stop_grace_period"] = "15s"
    out["deploy"] = {"replicas": inputs.environment.replicas[name]}
    out["labels"] = labels(inputs, "service", name, placement)
    if service.handover == "stop_start" or inputs.environment.strategy == "recreate":
        out["labels"][LABEL + "handover"] = "stop_start"
    return out


def _migration(inputs: RenderInputs, placement: Placement, name: str, service: Service) -> dict[str, Any]:
    assert service.migrations is not None
    out = _base(inputs, name, service, placement)
    command = list(service.migrations.command)
    out |= started(service, command) if service.exposure else {"command": command}
    out["networks"] = {"stores": {}}
    out["profiles"] = ["jobs"]
    out["restart"] = "no"
    out["labels"] = labels(inputs, "job", f"{name}-migrate", placement)
    return out


def _tests(inputs: RenderInputs, placement: Placement) -> dict[str, Any]:
    tests = inputs.stack.tests
    assert tests is not None
    listeners = {r.service: r.candidate for r in routes(inputs)}

    def value(text: str) -> str:
        name = text.removeprefix("route:")
        return f"http://edge:{listeners[name]}" if text.startswith("route:") else text

    ref = inputs.image(RUNNER)
    out: dict[str, Any] = {**image_fields(ref)}
    if ref.user:
        out["user"] = ref.user
    out["environment"] = {
        **{k: value(v) for k, v in tests.env.items()},
        **{variable: f"{SECRETS}/{secret}" for variable, secret in tests.secrets.items()},
        "CORTEX_RELEASE": f"r{placement.seq}",
        "TENANT": f"test-r{placement.seq}",
        "DEADLINE_SECONDS": str(tests.deadline),
    }
    out |= hardened(tmpfs=["/tmp"])
    out |= limits("512Mi", "1")
    out["volumes"] = [mount(f"{RUNNER}-secrets", SECRETS, read_only=True)] if tests.secrets else []
    out["networks"] = {"candidate": {}}
    out["profiles"] = ["jobs"]
    out["restart"] = "no"
    out["labels"] = labels(inputs, "job", RUNNER, placement)
    return out
