"""The engine: what is found is used and never replaced; only a bare machine gets one of its own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import debian, tools
from deploy.setup.daemons import Daemon
from deploy.setup.packages import ENGINE_PACKAGES
from deploy.setup.shell import SetupError, run, say, step

OLDEST = 25
SOCKETS = ("/var/run/docker.sock", "~/.orbstack/run/docker.sock", "~/.docker/run/docker.sock")


def cache_folder() -> Path:
    return Path(os.environ.get("CORTEX_OPS_CACHE", "~/.cache/cortex-ops")).expanduser()


def version_at(host: str) -> str:
    """The server version of the engine at `unix://…` or `tcp://…`; empty when none answers."""
    try:
        if host.startswith("unix://"):
            connection = http.client.HTTPConnection("localhost", timeout=5)
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(5)
            connection.sock.connect(host.removeprefix("unix://"))
        elif host.startswith("tcp://"):
            address, _, port = host.removeprefix("tcp://").rpartition(":")
            connection = http.client.HTTPConnection(address, int(port), timeout=5)
        else:
            return ""
        connection.request("GET", "/version")
        return str(json.loads(connection.getresponse().read()).get("Version", ""))
    except (OSError, ValueError, http.client.HTTPException):
        return ""


def _context_host() -> str:
    if shutil.which("docker") is None:
        return ""
    done = run(["docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}"], check=False, deadline=20)
    return done.stdout.strip() if done.returncode == 0 else ""


def find() -> str:
    """The host of an engine that answers, in the order in which a person would expect; empty: none."""
    given = os.environ.get("DOCKER_HOST", "")
    if given:
        if not version_at(given) and not _answers_by_cli():
            raise SetupError(f"DOCKER_HOST is {given}, and no engine answers there", "start it, or unset DOCKER_HOST")
        return given
    for host in (_context_host(), *(f"unix://{Path(p).expanduser()}" for p in SOCKETS)):
        if host and version_at(host):
            return host
    return ""


def _answers_by_cli() -> bool:
    return shutil.which("docker") is not None and run(["docker", "version"], check=False).returncode == 0


@dataclass(frozen=True)
class BareEngine:
    """An engine of our own. `isolated` engines (for tests) have no bridge and touch no firewall."""

    cache: Path
    home: Path = Path("/var/lib/cortex-ops/engine")
    runtime: Path = Path("/run/cortex-ops")
    mirror: str = ""
    isolated: bool = False

    @property
    def host(self) -> str:
        return f"unix://{self.runtime}/docker.sock"

    @property
    def path(self) -> str:
        newer = self.cache / "newer"
        return f"{newer}/usr/bin:{newer}/usr/sbin:/usr/local/sbin:/usr/sbin:/sbin"

    def containerd(self) -> Daemon:
        return self._daemon("containerd", ("-c", str(self.home / "containerd.toml")), "usr/bin/containerd")

    def dockerd(self) -> Daemon:
        return self._daemon("dockerd", ("--config-file", str(self.home / "daemon.json")), "usr/sbin/dockerd")

    def _daemon(self, name: str, arguments: tuple[str, ...], program: str) -> Daemon:
        # Even with `bridge: none` dockerd removes a docker0 that it finds, which is the shared engine's: an isolated
        # one gets a network namespace of its own.
        apart = ("unshare", "--net") if self.isolated else ()
        return Daemon(
            name,
            (*apart, str(self.cache / "newer" / program), *arguments),
            self.runtime / f"{name}.pid",
            self.home / f"{name}.log",
            self.path,
        )

    def start(self) -> None:
        """Configure and start both daemons; nothing happens when they run already."""
        if version_at(self.host):
            return
        (self.home / "containerd").mkdir(parents=True, exist_ok=True)
        self.runtime.mkdir(parents=True, exist_ok=True)
        init = self.cache / "newer" / "usr" / "bin" / "docker-init"
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
        config: dict[str, object] = {
            "features": {"containerd-snapshotter": True},
            "data-root": f"{self.home}/docker",
            "exec-root": f"{self.runtime}/exec",
            "pidfile": f"{self.runtime}/dockerd-own.pid",
            "hosts": [self.host],
            "containerd": str(socket_path),
            # The engine's own pools hold about thirty networks; one environment has six.
            "default-address-pools": [{"base": "172.24.0.0/13", "size": 24}],
            "builder": {"gc": {"enabled": True, "defaultKeepStorage": "12GB"}},
        }
        if self.mirror:
            config["registry-mirrors"] = [f"http://{self.mirror}"]
            config["insecure-registries"] = [self.mirror]
        if self.isolated:
            config |= {"bridge": "none", "iptables": False, "ip6tables": False}
        (self.home / "daemon.json").write_text(json.dumps(config, indent=1))
        (self.runtime / "dockerd-own.pid").unlink(missing_ok=True)
        if not self.containerd().running():
            socket_path.unlink(missing_ok=True)  # left by one that was killed; it would look like a ready one
        self.containerd().start(socket_path.exists)
        self.dockerd().start(lambda: bool(version_at(self.host)))

    def stop(self) -> bool:
        stopped = self.dockerd().stop(grace=40)
        return self.containerd().stop() or stopped


def ensure_engine(project: Path) -> dict[str, object]:
    """Find or start the engine and write what later steps read. Raises `SetupError` with one remedy."""
    from deploy.setup.registry import Registry

    cache = cache_folder()
    bare = BareEngine(cache)
    host = find()
    if host and host != bare.host:
        record = _found(project, host, cache)
    elif host == bare.host or version_at(bare.host) or debian.is_bare_debian():
        cache.mkdir(parents=True, exist_ok=True)
        debian.ensure(ENGINE_PACKAGES)
        debian.newer(cache)
        config = tools.plugins(cache)
        registry = Registry(cache)
        with step("registry for base images on loopback"):
            address = registry.start()
        running = bool(version_at(bare.host))
        if not running:
            bare = BareEngine(cache, mirror=address)
            with step("Docker Engine of this machine's own"):
                bare.start()
            (bare.home / "started-by").write_text(str(project))
        else:
            say(f"✓ using the engine that runs at {bare.host}")
        record = {
            "host": bare.host,
            "docker": str(cache / "newer/usr/bin/docker"),
            "config_dir": str(config),
            "kind": "bare",
            "mirror": address,
            "ca_bundle": _ca_bundle(),
        }
    else:
        raise SetupError(
            "no Docker engine answers, and this is no bare Debian machine where one can be set up (root and apt)",
            "install Docker Engine (Linux), OrbStack or Docker Desktop (macOS), start it, and run this again",
        )
    _check_version(str(record["host"]))
    old = _read(project / ".cortex" / "engine.json")
    record["standins"] = old.get("standins", []) if old.get("kind") == record["kind"] else []
    write_record(project, record)
    return record


def _found(project: Path, host: str, cache: Path) -> dict[str, object]:
    """An engine of somebody else: use it as it is. Plugins of our own only where its CLI has none."""
    say(f"✓ using the engine at {host}")
    docker = shutil.which("docker") or ""
    if not docker:
        raise SetupError(f"an engine answers at {host} but there is no docker CLI", "install the docker CLI")
    config = ""
    for plugin in ("buildx", "compose"):
        if run([docker, plugin, "version"], check=False, deadline=20).returncode:
            own = project / ".venv" / "bin" / "docker-compose"
            if plugin == "buildx" or not own.is_file():
                raise SetupError(f"the docker CLI has no {plugin} plugin", f"install docker-{plugin}-plugin")
            config = str(cache / "docker-config")
            folder = Path(config) / "cli-plugins"
            folder.mkdir(parents=True, exist_ok=True)
            tools.place(own, folder / "docker-compose")
            say("  its CLI has no compose plugin: using the one in this project's environment")
    return {
        "host": host,
        "docker": docker,
        "config_dir": config,
        "kind": "found",
        "mirror": None,
        "ca_bundle": os.environ.get("CORTEX_OPS_CA_BUNDLE") or None,
    }


def _check_version(host: str) -> None:
    text = version_at(host)
    major = text.split(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        raise SetupError(f"Docker Engine {text} is older than {OLDEST}, the oldest that is supported", "update it")


def _ca_bundle() -> str | None:
    """Certificates that builds need behind this machine's proxy, where it has any of its own."""
    for name in ("CORTEX_OPS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        value = os.environ.get(name, "")
        if value and Path(value).is_file():
            return value
    return None


def _read(path: Path) -> dict[str, object]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_record(project: Path, record: dict[str, object]) -> None:
    folder = project / ".cortex"
    folder.mkdir(exist_ok=True)
    partial = folder / "engine.json.partial"
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.rename(folder / "engine.json")


def stop_bare(project: Path) -> bool:
    """Stop the engine and the registry when this project started them."""
    from deploy.setup.registry import Registry

    bare = BareEngine(cache_folder())
    owner = bare.home / "started-by"
    if not owner.is_file() or owner.read_text() != str(project):
        return False
    stopped = bare.stop()
    Registry(cache_folder()).stop()
    owner.unlink(missing_ok=True)
    return stopped


def docker(record: dict[str, object], *arguments: str, deadline: float = 900) -> subprocess.CompletedProcess[str]:
    env = {"DOCKER_HOST": str(record["host"])}
    if record.get("config_dir"):
        env["DOCKER_CONFIG"] = str(record["config_dir"])
    return run([str(record["docker"]), *arguments], env=env, deadline=deadline)
