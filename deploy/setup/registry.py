"""A registry on loopback for the base images that a bare machine builds, kept in the cache over clones."""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.daemons import Daemon

FIRST_PORT = 5000


@dataclass(frozen=True)
class Registry:
    cache: Path
    runtime: Path = Path("/run/cortex-ops")

    @property
    def _port_file(self) -> Path:
        return self.runtime / "registry.port"

    def _daemon(self) -> Daemon:
        return Daemon(
            "docker-registry",
            (
                str(self.cache / "newer/usr/bin/docker-registry"),
                "serve",
                str(self.cache / "registry.yml"),
            ),
            self.runtime / "registry.pid",
            self.cache / "registry.log",
        )

    def address(self) -> str:
        """`127.0.0.1:port` where it was last started; empty before."""
        try:
            return f"127.0.0.1:{int(self._port_file.read_text())}"
        except (OSError, ValueError):
            return ""

    def start(self) -> str:
        """Start unless it answers; takes the next free port when the first is somebody else's."""
        address = self.address()
        if address and self._daemon().running() and answers(address):
            return address
        self._daemon().stop()
        self.runtime.mkdir(parents=True, exist_ok=True)
        port = next(p for p in range(FIRST_PORT, FIRST_PORT + 50) if _free(p))
        (self.cache / "registry.yml").write_text(
            "version: 0.1\nlog: { level: warn }\n"
            f"storage:\n  filesystem: {{ rootdirectory: {self.cache}/registry }}\n  delete: {{ enabled: true }}\n"
            f"http: {{ addr: '127.0.0.1:{port}' }}\n"
        )
        address = f"127.0.0.1:{port}"
        self._daemon().start(lambda: answers(address))
        self._port_file.write_text(str(port))
        return address

    def stop(self) -> bool:
        return self._daemon().stop()


def answers(address: str) -> bool:
    try:
        connection = http.client.HTTPConnection(address, timeout=2)
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
