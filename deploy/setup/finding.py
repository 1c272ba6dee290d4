"""Finding an engine that is already there, in the order in which a person would expect it, and asking its version.

Nothing is started, installed or written here. What somebody chose by DOCKER_HOST or by a docker context and does not
answer is an error: another engine in its place would be a surprise.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.setup.shell import SetupError, run

OLDEST = 25
SOCKETS = (
    "/var/run/docker.sock",
    "${XDG_RUNTIME_DIR}/docker.sock",
    "~/.orbstack/run/docker.sock",
    "~/.docker/run/docker.sock",
)


@dataclass(frozen=True)
class Found:
    """An engine that answers at `host` (`unix://…`, `tcp://…`, `ssh://…`). `tls`: where it is reached by TLS, the
    folder with ca.pem, cert.pem and key.pem."""

    host: str
    version: str
    tls: str = ""

    def check(self) -> None:
        """Raise for an engine that is older than we support."""
        major = re.match(r"\d+", self.version)
        if major is None or int(major[0]) < OLDEST:
            raise SetupError(
                f"the Docker Engine at {self.host} is {self.version}, older than {OLDEST}, the oldest supported",
                "update Docker Engine, Docker Desktop or OrbStack",
            )


def ask(host: str, path: str, timeout: float = 5.0) -> Any:
    """One GET of the API of an engine at `unix://…` or plain `tcp://…`, parsed; None when nothing answers there, or
    not as an engine does."""
    connection = http.client.HTTPConnection("localhost", timeout=timeout)
    try:
        if host.startswith("unix://"):
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(timeout)
            connection.sock.connect(host.removeprefix("unix://"))
        elif host.startswith("tcp://"):
            address, _, port = host.removeprefix("tcp://").rstrip("/").rpartition(":")
            connection.sock = socket.create_connection((address.strip("[]"), int(port)), timeout=timeout)
        else:
            return None
        connection.request("GET", path)
        answer = connection.getresponse()
        data = json.loads(answer.read())
        return data if answer.status == 200 else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def version_at(host: str) -> str:
    """The server version of the engine at `host`; empty when none answers."""
    answer = ask(host, "/version")
    return str(answer.get("Version", "")) if isinstance(answer, dict) else ""


def find() -> Found | None:
    """DOCKER_HOST, else the CLI's current context, else the usual sockets. Raises when what was chosen is dead."""
    given = os.environ.get("DOCKER_HOST", "")
    if given:
        return _chosen(given, _tls_of_environment(), f"DOCKER_HOST is {given}", "unset DOCKER_HOST")
    name, host, tls = _context()
    if host and name != "default":
        return _chosen(host, tls, f"the docker context {name!r} is {host}", "docker context use default")
    hosts = [f"unix://{Path(os.path.expandvars(p)).expanduser()}" for p in SOCKETS]
    for each in hosts:
        if version := version_at(each):
            return Found(each, version)
    for each in hosts:
        _refuse_closed(each)
    return None


def _chosen(host: str, tls: str, what: str, otherwise: str) -> Found:
    reason = ""
    if host.startswith("ssh://") or tls:
        version, reason = _version_by_cli(host, tls)
    else:
        version = version_at(host)
    if version:
        return Found(host, version, tls)
    _refuse_closed(host)
    because = f": {reason}" if reason else ""
    raise SetupError(f"{what}, and no engine answers there{because}", f"start it, or take another: {otherwise}")


def _version_by_cli(host: str, tls: str) -> tuple[str, str]:
    """(version, why there is none) of an engine behind ssh or TLS, which the docker CLI knows how to reach."""
    if shutil.which("docker") is None:
        raise SetupError(f"the engine at {host} is reached through the docker CLI", "install the docker CLI")
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    why = ""
    for _ in range(5):
        done = run(argv, env={"DOCKER_HOST": host, **tls_variables(tls)}, check=False, deadline=60)
        if done.returncode == 0:
            return done.stdout.strip(), ""
        why = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
        if "broken pipe" not in why:  # which says that ssh ended before the CLI had written to it, and not why
            break
    return "", why


def tls_variables(tls: str) -> dict[str, str]:
    """What the docker CLI needs in its environment for an engine behind TLS."""
    return {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": tls} if tls else {}


def _tls_of_environment() -> str:
    if not os.environ.get("DOCKER_TLS_VERIFY"):
        return ""
    usual = os.environ.get("DOCKER_CONFIG") or "~/.docker"
    return str(Path(os.environ.get("DOCKER_CERT_PATH") or usual).expanduser().resolve())


def _context() -> tuple[str, str, str]:
    """(name, host, folder of certificates) of the CLI's current context; empty without a CLI."""
    if shutil.which("docker") is None:
        return "", "", ""
    done = run(["docker", "context", "inspect"], check=False, deadline=20)
    if done.returncode:
        if "not found" in done.stderr:
            raise SetupError(done.stderr.strip().splitlines()[-1], "choose one that exists: docker context ls")
        return "", "", ""
    try:
        (context,) = json.loads(done.stdout)
        endpoint = context["Endpoints"]["docker"]
        tls = Path(context["Storage"]["TLSPath"], "docker") if context.get("TLSMaterial") else ""
        return str(context["Name"]), str(endpoint["Host"]), str(tls)
    except (ValueError, KeyError, TypeError):
        return "", "", ""


def _refuse_closed(host: str) -> None:
    path = host.removeprefix("unix://")
    if host.startswith("unix://") and Path(path).exists() and not os.access(path, os.R_OK | os.W_OK):
        raise SetupError(f"this user may not use the engine at {host}", "join its group (often: docker), or be root")
