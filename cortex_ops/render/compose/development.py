"""The development environment: one ordinary compose file that builds, watches, and publishes on loopback only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cortex_ops.kernel.values import Bundle
from cortex_ops.render.compose.common import escape, secret_paths, started
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.yaml_output import to_yaml
from cortex_ops.stack.naming import STORE_PORTS
from cortex_ops.stack.quantities import size
from cortex_ops.stack.schema import HostService, Service, StoreService

PASSWORD_FILE = "development-only"
HOST = "host.docker.internal"


def render_development(inputs: RenderInputs, monorepo: Path) -> Bundle:
    """Secrets are one fixed word in `secrets/`, since nothing here is reachable from outside this machine."""
    services: dict[str, Any] = {}
    files: dict[str, str] = {}
    secrets = {name: {"file": f"./secrets/{name}"} for name in inputs.stack.secrets}
    for build in (service.build for service in inputs.stack.services.values()):
        secrets |= {f"build-{s}": {"environment": inputs.stack.secrets[s].variable} for s in build.secrets.values()}
    files |= {f"secrets/{name}": PASSWORD_FILE + "\n" for name in inputs.stack.secrets}
    for name, store in inputs.stack.stores.items():
        services[name] = _store(name, store)
        files |= _store_files(name, store)
    for name, service in inputs.stack.services.items():
        services[name] = _service(inputs, monorepo, name, service)
        if service.migrations is not None:
            services[f"{name}-migrate"] = _migration(services[name], service)
            services[name]["depends_on"][f"{name}-migrate"] = {"condition": "service_completed_successfully"}
    kept = list(inputs.stack.stores)
    for name, host in inputs.stack.host_services.items():
        if host.image:
            services[name] = _instead_of_host(name, host)
            kept += [name] if host.data else []
    document = {
        "name": inputs.prefix,
        "services": services,
        "volumes": {f"{name}-data": {} for name in kept},
        "secrets": secrets,
    }
    files["compose.yaml"] = to_yaml(_host_or_container(inputs, escape(document)))
    return Bundle(target="compose", environment=inputs.environment.name, files=files)


def _service(inputs: RenderInputs, monorepo: Path, name: str, service: Service) -> dict[str, Any]:
    context = (monorepo / inputs.stack.source.context).resolve()
    folders = [service.path, *(inputs.stack.libraries[library].path for library in service.bundles)]
    build: dict[str, Any] = {"context": str(context), "dockerfile": service.build.dockerfile}
    if service.build.target:
        build["target"] = service.build.target
    if service.build.secrets:
        build["secrets"] = [{"source": f"build-{s}", "target": key} for key, s in service.build.secrets.items()]
    out: dict[str, Any] = {
        "build": build,
        "environment": {
            **inputs.environment.env[name],
            "PORT": service.port,
            "HOST": "0.0.0.0",
            "CORTEX_RELEASE": "dev",
            **secret_paths(service),
        },
        "secrets": sorted(set(service.secrets.values())),
        "depends_on": {
            called: _healthy(inputs.stack.services.get(called))
            for called in service.calls
            if called in inputs.stack.stores or called in inputs.stack.services
        },
        "restart": "on-failure",
        "init": True,
        "develop": {"watch": [{"action": "rebuild", "path": str(context / folder)} for folder in folders]},
        **started(service, service.command),
    }
    if service.route is not None:
        out["ports"] = [f"127.0.0.1:{inputs.environment.ports[name]}:{service.port}"]
    if any(called in inputs.stack.host_services for called in service.calls):
        out["extra_hosts"] = [f"{HOST}:host-gateway"]
    if service.probes.command:
        out["healthcheck"] = {
            "test": ["CMD", *service.probes.command],
            "interval": "10s",
            "start_period": "60s",
            "start_interval": "1s",
        }
    if service.optional:
        out["profiles"] = [name]
    return out


def _healthy(service: Service | None) -> dict[str, Any]:
    """To be waited for; an optional service only where its profile is on."""
    return {"condition": "service_healthy", **({"required": False} if service and service.optional else {})}


def _instead_of_host(name: str, host: HostService) -> dict[str, Any]:
    out: dict[str, Any] = {
        "image": host.image,
        "profiles": [name],
        "ports": [f"127.0.0.1:{host.port}:{host.port}"],
        "restart": "unless-stopped",
    }
    if host.data:
        out["volumes"] = [f"{name}-data:{host.data}"]
    return out


def host_variable(inputs: RenderInputs, name: str) -> str:
    return f"{inputs.stack.name}_{name}_HOST".replace("-", "_").upper()


def _host_or_container(inputs: RenderInputs, document: dict[str, Any]) -> dict[str, Any]:
    """Let a variable say where an optional host service is: natively on the host, or in the profile's container."""
    for name, host in inputs.stack.host_services.items():
        native, chosen = f"{HOST}:{host.port}", f"${{{host_variable(inputs, name)}:-{HOST}}}:{host.port}"
        for service in document["services"].values() if host.image else ():
            for key, value in service.get("environment", {}).items():
                service["environment"][key] = value.replace(native, chosen)
    return document


def _migration(service: dict[str, Any], model: Service) -> dict[str, Any]:
    assert model.migrations is not None
    stores = {model.migrations.store: {"condition": "service_healthy"}}
    kept = {k: v for k, v in service.items() if k in ("build", "environment", "secrets", "profiles")}
    command = list(model.migrations.command)
    start = started(model, command) if model.exposure else {"command": command}
    return {**kept, **start, "depends_on": stores, "restart": "no"}


def _store(name: str, store: StoreService) -> dict[str, Any]:
    ports = [f"127.0.0.1:{port}:{port}" for port in STORE_PORTS[store.kind]]
    out: dict[str, Any] = {
        "image": store.image,
        "ports": ports,
        "secrets": [store.secret],
        "restart": "unless-stopped",
        "mem_limit": str(size(store.memory)),
    }
    data = {"postgres": "/var/lib/postgresql/data", "nats": "/data", "redis": "/data", "qdrant": "/qdrant/storage"}
    out["volumes"] = [f"{name}-data:{data[store.kind]}"]
    if store.kind == "postgres":
        out["environment"] = {
            "POSTGRES_DB": store.database,
            "POSTGRES_USER": store.owner,
            "POSTGRES_PASSWORD_FILE": f"/run/secrets/{store.secret}",
            "PGDATA": "/var/lib/postgresql/data/pgdata",
        }
        test = ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", store.owner]
    elif store.kind == "redis":
        out["command"] = ["redis-server", "/etc/cortex/redis.conf", "--dir", "/data", "--protected-mode", "no"]
        out["volumes"].append("./stores/redis.conf:/etc/cortex/redis.conf:ro")
        test = ["CMD", "redis-cli", "-a", PASSWORD_FILE, "--no-auth-warning", "ping"]
    elif store.kind == "nats":
        out["command"] = ["-js", "-sd", "/data", "-m", "8222", "-c", "/etc/cortex/nats.conf"]
        out["volumes"].append("./stores/nats.conf:/etc/cortex/nats.conf:ro")
        test = ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8222/healthz"]
    else:
        out["command"] = ["./qdrant", "--config-path", "/etc/cortex/qdrant.yaml"]
        out["volumes"].append("./stores/qdrant.yaml:/etc/cortex/qdrant.yaml:ro")
        test = ["CMD", "bash", "-c", ": >/dev/tcp/127.0.0.1/6333"]
    out["healthcheck"] = {"test": test, "interval": "10s", "start_period": "60s", "start_interval": "1s"}
    return out


def _store_files(name: str, store: StoreService) -> dict[str, str]:
    return {
        "redis": {"stores/redis.conf": f"requirepass {PASSWORD_FILE}\n"},
        "nats": {"stores/nats.conf": f'authorization {{ token: "{PASSWORD_FILE}" }}\n'},
        "qdrant": {"stores/qdrant.yaml": f"service:\n  api_key: {PASSWORD_FILE}\n"},
    }.get(store.kind, {})
