"""Where things are on this machine: read once from the environment and from what set-up recorded.

The stack file says what the system is; settings say where this checkout, its state, its engine and its
stores are. Nothing secret is in here: keys and passwords are paths.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortex_ops.kernel.errors import InputError


@dataclass(frozen=True)
class Settings:
    """All paths absolute. `store` is a folder or `s3://bucket/prefix`.

    `docker_host` empty means the docker CLI's own default; `docker_tls` is the folder of certificates for it.
    `mirror` is `host:port` of a registry that holds copies of docker.io images under the same names. `registry` is a
    repository prefix that images are pushed to (`host:port/name`), empty to keep them in the engine. `ca_bundle` is
    a PEM file of authorities that the docker CLI trusts besides the system's, and that builds get as the secret
    `ca_bundle`. `kubeconfig` empty means the client's own rules. `extra` holds `CORTEX_OPS_S3_*` (see `adapters.s3`).
    """

    project: Path
    state: Path
    stack_file: Path
    store: str
    keys: Path
    docker: str = "docker"
    docker_host: str = ""
    docker_config: str = ""
    docker_tls: str = ""
    mirror: str = ""
    registry: str = ""
    ca_bundle: str = ""
    kubeconfig: str = ""
    standins: tuple[str, ...] = ()
    actor: str = ""
    run_id: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def docker_env(self) -> dict[str, str]:
        """What the docker CLI needs in its environment to reach the chosen engine with our plugins."""
        env = {"DOCKER_CLI_HINTS": "false", "BUILDX_GIT_INFO": "false", "COMPOSE_PROGRESS": "plain"}
        if self.docker_host:
            env["DOCKER_HOST"] = self.docker_host
        if self.docker_tls:
            env |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": self.docker_tls}
        if self.docker_config:
            env["DOCKER_CONFIG"] = self.docker_config
        if self.ca_bundle:
            env["SSL_CERT_FILE"] = self.ca_bundle  # the CLI adds it to the system's own; the engine has its own rules
        return env


def find_project(start: Path) -> Path:
    """The folder at or above `start` that holds `deploy/stack.yaml`, else `start` itself."""
    for folder in (start, *start.parents):
        if (folder / "deploy" / "stack.yaml").is_file():
            return folder
    return start


def load_settings(environ: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> Settings:
    """Settings from `CORTEX_OPS_*` variables over what set-up wrote to `.cortex/engine.json`."""
    env = os.environ if environ is None else environ
    given = env.get("CORTEX_OPS_PROJECT")
    project = _absolute(given) if given else find_project(_absolute(cwd or Path.cwd()))
    state = _absolute(env.get("CORTEX_OPS_STATE", project / ".cortex"))
    engine = _recorded(state / "engine.json")
    store = env.get("CORTEX_OPS_STORE", "")
    return Settings(
        project=project,
        state=state,
        stack_file=_absolute(env.get("CORTEX_OPS_STACK", project / "deploy" / "stack.yaml")),
        store=store if store.startswith("s3://") else str(_absolute(store or state / "store")),
        keys=_absolute(env.get("CORTEX_OPS_KEYS", state / "keys")),
        docker=env.get("CORTEX_OPS_DOCKER", engine.get("docker") or "docker"),
        docker_host=env.get("DOCKER_HOST") or engine.get("host", ""),
        # Set-up's folder has the plugins that the person's lacks; logins are read from theirs (`adapters.registry`).
        docker_config=engine.get("config_dir") or env.get("DOCKER_CONFIG") or "",
        # Whoever names another engine by DOCKER_HOST names its certificates with it.
        docker_tls="" if env.get("DOCKER_HOST") else engine.get("tls") or "",
        mirror=env.get("CORTEX_OPS_MIRROR", engine.get("mirror") or ""),
        registry=env.get("CORTEX_OPS_REGISTRY", "").rstrip("/"),
        ca_bundle=env.get("CORTEX_OPS_CA_BUNDLE", engine.get("ca_bundle") or ""),
        kubeconfig=env.get("CORTEX_OPS_KUBECONFIG") or env.get("KUBECONFIG", ""),
        standins=tuple(engine.get("standins") or ()),
        actor=env.get("CORTEX_OPS_ACTOR") or env.get("GITHUB_ACTOR") or env.get("USER") or _login(),
        run_id=env.get("CORTEX_OPS_RUN", ""),
        extra={key: value for key, value in env.items() if key.startswith("CORTEX_OPS_S3_")},
    )


def _absolute(path: str | Path) -> Path:
    """Links followed as far as they lead. `Path.resolve` would raise for a loop, which whoever reads it reports."""
    return Path(os.path.realpath(path))


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _recorded(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}", remedy="run `make setup` again") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is not an object", remedy="run `make setup` again")
    return data
