"""A registry on loopback for the base images that a bare machine builds, kept in the cache over clones."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.bare import RUNTIME
from deploy.setup.daemons import Daemon
from deploy.setup.shell import SetupError

FIRST_PORT = 5000


@dataclass(frozen=True)
class Registry:
    """`cache`: the program and the images; `runtime`: pid, port, settings, log."""

    cache: Path
    runtime: Path = RUNTIME

    @property
    def _port_file(self) -> Path:
        return self.runtime / "registry.port"

    def _daemon(self) -> Daemon:
        return Daemon(
            "docker-registry",
            (str(self.cache / "newer/usr/bin/docker-registry"), "serve", str(self.runtime / "registry.yml")),
            self.runtime / "registry.pid",
            self.runtime / "registry.log",
        )

    def running(self) -> bool:
        return self._daemon().running()

    def address(self) -> str:
        """`127.0.0.1:port` where it was last started; empty before."""
        try:
            return f"127.0.0.1:{int(self._port_file.read_text())}"
        except (OSError, ValueError):
            return ""

    def start(self) -> str:
        """Start unless it runs, where it was before when that is free, else on the first free port. → address."""
        daemon, address = self._daemon(), self.address()
        if address and daemon.running():
            daemon.start(lambda: answers(address))
            return address
        daemon.stop()
        self.runtime.mkdir(parents=True, exist_ok=True)
        wanted = [int(address.rpartition(":")[2])] if address else []
        port = next((p for p in (*wanted, *range(FIRST_PORT, FIRST_PORT + 50)) if _free(p)), None)
        if port is None:
            raise SetupError(f"no port from {FIRST_PORT} to {FIRST_PORT + 49} is free for the registry")
        (self.runtime / "registry.yml").write_text(
            "version: 0.1\nlog: { level: warn, accesslog: { disabled: true } }\n"
            f"storage:\n  filesystem: {{ rootdirectory: {self.cache}/registry }}\n  delete: {{ enabled: true }}\n"
            f"http: {{ addr: '127.0.0.1:{port}' }}\n"
        )
        address = f"127.0.0.1:{port}"
        self._port_file.write_text(str(port))
        daemon.start(lambda: answers(address))
        return address

    def stop(self) -> bool:
        return self._daemon().stop()


def answers(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
