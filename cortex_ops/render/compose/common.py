"""What every container of an environment gets: hardening, limits, logging, labels, networks by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import ImageLock, ImageRef, Placement
from cortex_ops.stack import naming
from cortex_ops.stack.environments import Environment
from cortex_ops.stack.quantities import cpu, size
from cortex_ops.stack.schema import Service, Stack

LABEL = "org.cortex-ops."
SECRETS = "/run/secrets"


@dataclass(frozen=True)
class RenderInputs:
    """All that a rendering depends on, but for the placement. `capabilities` are recorded facts of the target."""

    stack: Stack
    environment: Environment
    lock: ImageLock
    secret_versions: dict[str, str]
    capabilities: dict[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        return naming.prefix(self.stack.name, self.environment.name)

    def network(self, name: str) -> str:
        return naming.network(self.stack.name, self.environment.name, name)

    def image(self, name: str) -> ImageRef:
        try:
            return self.lock.images[name]
        except KeyError:
            raise OpsError(f"the images hold none for {name}", remedy="build again") from None

    def secret_volume(self, consumer: str) -> str:
        try:
            version = self.secret_versions[consumer]
        except KeyError:
            raise OpsError(f"there is no version of {consumer}'s secrets") from None
        return naming.secret_volume(self.stack.name, self.environment.name, consumer, version)


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
