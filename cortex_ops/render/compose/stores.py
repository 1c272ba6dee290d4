"""The stores' project: data volumes, authentication from files, health checks, one internal network."""

from __future__ import annotations

from typing import Any

from cortex_ops.render.compose.common import hardened, image_fields, labels, limits, mount
from cortex_ops.render.inputs import SECRETS, RenderInputs
from cortex_ops.stack import naming
from cortex_ops.stack.schema import StoreService

Kind = dict[str, Any]


def stores_document(inputs: RenderInputs) -> dict[str, Any]:
    services: dict[str, Any] = {}
    volumes: dict[str, Any] = {}
    for name, store in inputs.stack.stores.items():
        kind = KINDS[store.kind](store)
        data = naming.data_volume(inputs.stack.name, inputs.environment.name, name)
        volumes[f"{name}-data"] = {"name": data, "labels": labels(inputs, "store", name)}
        volumes[f"{name}-secrets"] = {"name": inputs.secret_volume(name), "external": True}
        services[name] = {
            **image_fields(inputs.image(name)),
            "user": f"{store.user}:{store.user}",
            **kind["service"],
            **hardened(tmpfs=kind["tmpfs"]),
            **limits(store.memory, store.cpu),
            "restart": "unless-stopped",
            "stop_grace_period": "30s",
            "networks": {"stores": {"aliases": [name]}},
            "volumes": [
                mount(f"{name}-data", kind["data"]),
                mount(f"{name}-secrets", SECRETS, read_only=True),
            ],
            "healthcheck": {
                "test": kind["health"],
                "interval": "10s",
                "timeout": "3s",
                "retries": 3,
                "start_period": "60s",
                "start_interval": "500ms",
            },
            "labels": labels(inputs, "store", name),
        }
    return {
        "services": services,
        "networks": {"stores": {"name": inputs.network("stores"), "internal": True}},
        "volumes": volumes,
    }


def _postgres(store: StoreService) -> Kind:
    return {
        "data": "/var/lib/postgresql/data",
        "tmpfs": ["/tmp", "/var/run/postgresql"],
        "health": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", store.owner, "-d", store.database],
        "service": {
            "environment": {
                "POSTGRES_DB": store.database,
                "POSTGRES_USER": store.owner,
                "POSTGRES_PASSWORD_FILE": f"{SECRETS}/{store.secret}",
                "PGDATA": "/var/lib/postgresql/data/pgdata",
            }
        },
    }


def _redis(store: StoreService) -> Kind:
    ping = f'REDISCLI_AUTH="$(cat {SECRETS}/{store.secret})" redis-cli ping | grep -q PONG'
    return {
        "data": "/data",
        "tmpfs": ["/tmp"],
        "health": ["CMD-SHELL", ping],
        "service": {
            "command": [
                *("redis-server", f"{SECRETS}/redis.conf", "--dir", "/data"),
                *("--appendonly", "yes", "--protected-mode", "no"),
            ]
        },
    }


def _nats(store: StoreService) -> Kind:
    return {
        "data": "/data",
        "tmpfs": ["/tmp"],
        "health": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8222/healthz"],
        "service": {"command": ["-js", "-sd", "/data", "-m", "8222", "-c", f"{SECRETS}/nats.conf"]},
    }


def _qdrant(store: StoreService) -> Kind:
    return {
        "data": "/qdrant/storage",
        "tmpfs": ["/tmp"],
        "health": ["CMD", "bash", "-c", ": >/dev/tcp/127.0.0.1/6333"],
        "service": {
            "command": ["./qdrant", "--config-path", f"{SECRETS}/qdrant.yaml"],
            "environment": {
                "QDRANT__STORAGE__STORAGE_PATH": "/qdrant/storage",
                "QDRANT__STORAGE__SNAPSHOTS_PATH": "/qdrant/storage/snapshots",
                "QDRANT__TELEMETRY_DISABLED": "true",
            },
        },
    }


KINDS = {"postgres": _postgres, "redis": _redis, "nats": _nats, "qdrant": _qdrant}
