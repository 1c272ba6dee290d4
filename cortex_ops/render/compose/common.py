"""What every container of an environment gets: hardening, limits, logging, labels, networks by name."""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.values import ImageRef, Placement
from cortex_ops.render.inputs import SECRETS, RenderInputs
from cortex_ops.stack.quantities import cpu, size
from cortex_ops.stack.schema import Service

LABEL = "org.cortex-ops."


def labels(inputs: RenderInputs, role: str, service: str, placement: Placement | None = None) -> dict[str, str]:
    out = {LABEL + "project": inputs.prefix, LABEL + "role": role, LABEL + "service": service}
    if placement is not None:
        out[LABEL + "release"] = f"r{placement.seq}"
    return out


def image_fields(ref: ImageRef) -> dict[str, Any]:
    """A bare image id exists only in its own engine: never ask a registry for it."""
    return {"image": ref.reference(), "pull_policy": "missing" if ref.repository else "never"}


def hardened(*, tmpfs: list[str], pids: int = 256) -> dict[str, Any]:
    """Nothing writable but what is named, no capabilities, no new privileges, the engine's seccomp profile."""
    return {
        "read_only": True,
        "tmpfs": [f"{path}:size=64m,mode=1777" for path in sorted(set(tmpfs))],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true", "seccomp=builtin"],
        "pids_limit": pids,
        "init": True,
        "logging": {"driver": "local", "options": {"max-size": "10m", "max-file": "3"}},
    }


def limits(memory: str, cores: str) -> dict[str, Any]:
    return {"mem_limit": str(size(memory)), "cpus": f"{cpu(cores):g}"}


def mount(volume: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "volume", "source": volume, "target": path}
    if read_only:
        out["read_only"] = True
    return out


def secret_paths(service: Service) -> dict[str, str]:
    """Variables that hold the path of a secret's file; those with exposure `env` are set by `started`."""
    return {v: f"{SECRETS}/{name}" for v, name in service.secrets.items() if v not in service.exposure}


def started(service: Service, command: list[str]) -> dict[str, Any]:
    """What starts the container. Exposed values are read from their files by a shell that then becomes the program:
    they are in its environment and in no file, argument or description of the container."""
    if not command:
        return {}
    reads = [f'{v}="$(cat {SECRETS}/{service.secrets[v]})" || exit 1; export {v}; ' for v in sorted(service.exposure)]
    if reads:
        command = ["sh", "-c", "".join(reads) + 'exec "$@"', "sh", *command]
    return {"entrypoint": [], "command": command}


def escape(value: Any) -> Any:
    """Compose interpolates `$`; our values are final."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {k: escape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [escape(v) for v in value]
    return value
