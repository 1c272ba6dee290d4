"""The bare machine's own engine: containerd and dockerd with a home, a socket folder and a registry mirror.

Any number may run beside each other when their folders differ. Which one a project uses, and who may stop it, is
decided in `engine`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.daemons import Daemon, listens
from deploy.setup.finding import ask, version_at
from deploy.setup.shell import SetupError, say

HOME = Path("/var/lib/cortex-ops/engine")
RUNTIME = Path("/run/cortex-ops")

# SIOCSIFFLAGS with IFF_UP | IFF_RUNNING: a new namespace's loopback is down, and ports could not be published on it.
WITH_LOOPBACK = """\
import fcntl, os, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
os.execv(sys.argv[1], sys.argv[1:])
"""


@dataclass(frozen=True)
class BareEngine:
    """`home`: data, configuration, logs; `runtime`: sockets and pids; `mirror`: host:port of a registry;
    the programs are what `debian.newer` unpacked below `cache`."""

    cache: Path
    home: Path = HOME
    runtime: Path = RUNTIME
    mirror: str = ""

    @property
    def isolated(self) -> bool:
        """An engine anywhere else than at the usual home (for tests) has no network and touches no firewall."""
        return self.home != HOME

    @property
    def programs(self) -> Path:
        return self.cache / "newer"

    @property
    def host(self) -> str:
        return f"unix://{self.runtime}/docker.sock"

    @property
    def path(self) -> str:
        """Where the daemons find runc (Debian's own), their shims and iptables."""
        return f"{self.programs}/usr/bin:{self.programs}/usr/sbin:/usr/local/sbin:/usr/sbin:/sbin"

    def containerd(self) -> Daemon:
        return self._daemon("containerd", ("-c", str(self.home / "containerd.toml")), "usr/bin/containerd")

    def dockerd(self) -> Daemon:
        return self._daemon("dockerd", ("--config-file", str(self.home / "daemon.json")), "usr/sbin/dockerd")

    def _daemon(self, name: str, arguments: tuple[str, ...], program: str) -> Daemon:
        # A second dockerd deletes the docker0 of the first, even with `bridge: none`: an isolated one gets a network
        # namespace of its own.
        apart = ("unshare", "--net", sys.executable, "-c", WITH_LOOPBACK) if self.isolated else ()
        return Daemon(
            name,
            (*apart, str(self.programs / program), *arguments),
            self.runtime / f"{name}.pid",
            self.home / f"{name}.log",
            self.path,
        )

    def running(self) -> bool:
        """An engine answers at our socket, or its daemon lives and is only slow."""
        return bool(version_at(self.host)) or self.dockerd().running()

    def closed(self) -> bool:
        """It runs, and this user may not use it."""
        return self.running() and not os.access(self.runtime / "docker.sock", os.R_OK | os.W_OK)

    def start(self) -> None:
        """Start what does not run yet, and give a running one the present mirror. Files of killed daemons do not
        matter. Raises `SetupError` with the log's last lines."""
        (self.home / "containerd").mkdir(parents=True, exist_ok=True)
        self.runtime.mkdir(parents=True, exist_ok=True)
        init = self.programs / "usr" / "bin" / "docker-init"
        if not init.exists():
            init.unlink(missing_ok=True)
            init.symlink_to("/usr/bin/tini-static")
        socket_path = self.runtime / "containerd.sock"
        (self.home / "containerd.toml").write_text(
            "version = 2\n"
            f'root = "{self.home}/containerd"\nstate = "{self.runtime}/containerd"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\n  address = "{socket_path}"\n'
        )
        ran, outlived = self.running(), not self.containerd().running()
        self.containerd().start(lambda: listens(socket_path))
        if not ran:
            self._configure()
            (self.runtime / "dockerd-own.pid").unlink(missing_ok=True)
        # A dockerd that outlived its containerd answers about itself at once, about images when it has reconnected.
        question = "/images/json" if ran and outlived else "/version"
        try:
            self.dockerd().start(lambda: ask(self.host, question) is not None)
        except SetupError as error:
            builds = self.home / "docker" / "buildkit"
            if "context deadline exceeded" not in error.message or not builds.is_dir():
                raise
            # dockerd reads the records of all builds at its start and gives up after 15 s: thousands are too many.
            say("  the engine's build cache is too large to be read in time: it is removed, images and volumes stay")
            shutil.rmtree(builds)
            self.dockerd().start(lambda: ask(self.host, question) is not None)
        if ran:
            self._follow_mirror()

    def _configure(self) -> None:
        config: dict[str, object] = {
            "features": {"containerd-snapshotter": True},
            "data-root": f"{self.home}/docker",
            "exec-root": f"{self.runtime}/exec",
            "pidfile": f"{self.runtime}/dockerd-own.pid",
            "hosts": [self.host],
            "containerd": f"{self.runtime}/containerd.sock",
            # The engine's own pools hold about thirty networks; one environment has six.
            "default-address-pools": [{"base": "172.24.0.0/13", "size": 24}],
            "builder": {"gc": {"enabled": True, "defaultKeepStorage": "12GB"}},
        }
        if self.mirror:
            config["registry-mirrors"] = [f"http://{self.mirror}"]
            config["insecure-registries"] = [self.mirror]
        if self.isolated:
            config |= {"bridge": "none", "iptables": False, "ip6tables": False}
        partial = self.home / "daemon.json.partial"
        partial.write_text(json.dumps(config, indent=1))
        partial.rename(self.home / "daemon.json")

    def mirrors(self) -> list[str]:
        """What the running engine uses, as it says itself."""
        info = ask(self.host, "/info", 20) or {}
        return [str(m).rstrip("/") for m in (info.get("RegistryConfig") or {}).get("Mirrors") or []]

    def _follow_mirror(self) -> None:
        """The registry came back on another port: dockerd reads its mirrors again on SIGHUP, without a restart."""
        wanted = f"http://{self.mirror}"
        if not self.mirror or wanted in self.mirrors():
            return
        self._configure()
        self.dockerd().signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while wanted not in self.mirrors():
            if time.monotonic() > end:
                raise SetupError(f"the engine at {self.host} does not take the mirror {wanted}", "restart it")
            time.sleep(0.2)

    def containers(self) -> list[str]:
        """Names of the containers that run on it."""
        rows = ask(self.host, "/containers/json", 20) or []
        return sorted(str(row["Names"][0]).lstrip("/") for row in rows if row.get("Names"))

    def stop(self) -> bool:
        """True when something was stopped. Data stays; mounts that killed daemons left behind do not."""
        stopped = self.dockerd().stop(grace=40)
        stopped = self.containerd().stop() or stopped
        for mount in [] if self.running() else reversed(self._mounts()):
            subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
        return stopped

    def _mounts(self) -> list[str]:
        """Everything mounted below our folders, in the order in which it was. A folder may be a person's own disk."""
        try:
            lines = Path("/proc/self/mounts").read_text().splitlines()
        except OSError:
            return []
        points = [line.split()[1] for line in lines]
        return [p for p in points if any(f in Path(p).parents for f in (self.home, self.runtime))]
