"""Finding an engine that is already there, in the order in which a person would expect it, and asking its version.

Nothing is started, installed or written here.
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
SOCKETS = ("/var/run/docker.sock", "~/.orbstack/run/docker.sock", "~/.docker/run/docker.sock")


@dataclass(frozen=True)
class Found:
    """An engine that answers at `host` (`unix://…` or `tcp://…`)."""

    host: str
    version: str

    def check(self) -> None:
        """Raise for an engine that is older than we support."""
        major = re.match(r"\d+", self.version)
        if major is None or int(major[0]) < OLDEST:
            raise SetupError(
                f"the Docker Engine at {self.host} is {self.version}, older than {OLDEST}, the oldest supported",
                "update Docker Engine, Docker Desktop or OrbStack",
            )


def ask(host: str, path: str, timeout: float = 5.0) -> Any:
    """One GET of the engine's API, parsed; None when nothing answers there, or not as an engine does."""
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
    """DOCKER_HOST, the CLI's current context, the usual sockets. Raises when DOCKER_HOST names a dead one."""
    given = os.environ.get("DOCKER_HOST", "")
    if given:
        if version := version_at(given):
            return Found(given, version)
        _refuse_indirect(given)
        _refuse_closed(given)
        raise SetupError(f"DOCKER_HOST is {given}, and no engine answers there", "start it, or unset DOCKER_HOST")
    context = _context_host()
    hosts = [context, *(f"unix://{Path(p).expanduser()}" for p in SOCKETS)]
    for host in hosts:
        if host and (version := version_at(host)):
            return Found(host, version)
    _refuse_indirect(context)
    for host in hosts:
        _refuse_closed(host)
    return None


def _context_host() -> str:
    if shutil.which("docker") is None:
        return ""
    done = run(["docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}"], check=False, deadline=20)
    return done.stdout.strip() if done.returncode == 0 else ""


def _refuse_indirect(host: str) -> None:
    """An engine behind ssh or TLS is somebody's choice; passing over it in silence would be wrong."""
    if not host or host.startswith("unix://") or shutil.which("docker") is None:
        return
    if run(["docker", "version"], check=False, deadline=30).returncode == 0:
        raise SetupError(
            f"the engine at {host} is reached by ssh or TLS, which is not supported",
            "forward its socket (ssh -NL /tmp/engine.sock:/var/run/docker.sock HOST) "
            "and set DOCKER_HOST=unix:///tmp/engine.sock",
        )


def _refuse_closed(host: str) -> None:
    path = host.removeprefix("unix://")
    if host.startswith("unix://") and Path(path).exists() and not os.access(path, os.R_OK | os.W_OK):
        raise SetupError(f"this user may not use the engine at {host}", "join its group (often: docker), or be root")
