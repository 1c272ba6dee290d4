"""Which engine this project uses: what is found is used and never replaced; only a bare machine gets one of its own.

Writes `.cortex/engine.json`, which the project's settings read. Finding is in `finding`, the own engine in `bare`.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from deploy.setup import client, debian, tools
from deploy.setup.bare import HOME, RUNTIME, BareEngine
from deploy.setup.finding import Found, find
from deploy.setup.lock import alone
from deploy.setup.packages import ENGINE_PACKAGES
from deploy.setup.registry import Registry
from deploy.setup.shell import SetupError, say, step

Record = dict[str, object]


def cache_folder() -> Path:
    """What survives clones: programs, wheels, the registry's storage."""
    return Path(os.environ.get("CORTEX_OPS_CACHE", "~/.cache/cortex-ops")).expanduser().resolve()


def bare_engine(mirror: str = "") -> BareEngine:
    """The machine's own engine; `CORTEX_OPS_ENGINE_HOME` and `CORTEX_OPS_RUNTIME` put another one elsewhere."""
    home = Path(os.environ.get("CORTEX_OPS_ENGINE_HOME", HOME))
    return BareEngine(cache_folder(), home, _runtime(), mirror)


def registry() -> Registry:
    return Registry(cache_folder(), _runtime())


def _runtime() -> Path:
    return Path(os.environ.get("CORTEX_OPS_RUNTIME", RUNTIME))


def ensure_engine(project: Path) -> Record:
    """Find or start the engine and write what later steps read. Raises `SetupError` with one remedy."""
    bare = bare_engine()
    found = find()
    if found is not None and found.host != bare.host:
        record = _use(project, found)
    elif found is None and bare.closed():
        raise SetupError(f"this user may not use the engine at {bare.host}", "run this as the user who started it")
    elif found is not None or bare.running() or debian.is_bare_debian():
        record = _own(project)
    else:
        raise no_engine(sys.platform)
    old = read_record(project)
    record["standins"] = old.get("standins", []) if old.get("kind") == record["kind"] else []
    write_record(project, record)
    return record


def no_engine(platform: str) -> SetupError:
    """What to install, for `sys.platform`."""
    if platform == "darwin":
        return SetupError(
            "no Docker engine answers on this Mac",
            "install OrbStack or Docker Desktop, start it once, and run this again",
        )
    return SetupError(
        "no Docker engine answers, and none can be set up here (that takes Debian, apt and root)",
        "install Docker Engine (https://docs.docker.com/engine/install/), start it, and run this again",
    )


def _use(project: Path, found: Found) -> Record:
    """An engine of somebody else, as it is."""
    found.check()
    say(f"✓ using the engine at {found.host} (Docker {found.version})")
    if found.host.startswith("ssh://"):
        say("  it is another machine: what is published there is reached there, not on 127.0.0.1")
    cache = cache_folder()
    docker = client.cli(cache)
    return {
        "host": found.host,
        "tls": found.tls,
        "docker": docker,
        "config_dir": client.config_folder(project, docker, cache),
        "kind": "found",
        "mirror": None,
        "ca_bundle": os.environ.get("CORTEX_OPS_CA_BUNDLE") or None,
    }


def _own(project: Path) -> Record:
    """The engine of this machine that some project's set-up started, or a new one."""
    cache = cache_folder()
    if not bare_engine().running():
        _refuse_stopped_service()
    with alone(cache):
        debian.ensure(ENGINE_PACKAGES)
        debian.newer(cache)
        config = tools.plugins(cache)
        address = _start_registry()
        bare = bare_engine(address)
        if bare.running():  # perhaps since a moment ago: another set-up held the lock
            bare.start()
            say(f"✓ using the engine that runs at {bare.host}")
            if not owner().is_dir():
                _write_owner(bare, project)  # whoever started it has been deleted
        else:
            with step("Docker Engine of this machine's own"):
                bare.start()
            _write_owner(bare, project)
    return {
        "host": bare.host,
        "docker": str(cache / "newer/usr/bin/docker"),
        "config_dir": str(config),
        "kind": "bare",
        "mirror": address,
        "ca_bundle": _ca_bundle(),
    }


def _start_registry() -> str:
    if registry().running():
        return registry().start()
    with step("registry for base images on loopback"):
        return registry().start()


def _refuse_stopped_service() -> None:
    if shutil.which("dockerd") is None:
        return
    if Path("/run/systemd/system").is_dir():
        raise SetupError("Docker Engine is installed here and does not run", "start it: systemctl start docker")
    say("  a dockerd is installed here and does not run: it is left alone")


def owner() -> Path:
    """The project that started the bare engine; a path that does not exist when none did."""
    try:
        return Path((bare_engine().home / "started-by").read_text())
    except OSError:
        return Path("/nonexistent")


def _write_owner(bare: BareEngine, project: Path) -> None:
    (bare.home / "started-by").write_text(str(project))


def _ca_bundle() -> str | None:
    """Certificates that builds need behind this machine's proxy, where it has any of its own."""
    for name in ("CORTEX_OPS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        value = os.environ.get(name, "")
        if value and Path(value).is_file():
            return value
    return None


def read_record(project: Path) -> Record:
    try:
        data = json.loads((project / ".cortex" / "engine.json").read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_record(project: Path, record: Record) -> None:
    write_json(project / ".cortex" / "engine.json", record)


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.rename(path)


def stop_bare(project: Path) -> bool:
    """Stop the engine and the registry when this project started them and nobody else's containers run there."""
    bare = bare_engine()
    if owner() != project:
        return False
    with alone(cache_folder()):
        others = bare.containers()
        if others:
            say(f"  the engine stays: {len(others)} containers run on it: {', '.join(others[:5])}")
            return False
        stopped = bare.stop()
        registry().stop()
        (bare.home / "started-by").unlink(missing_ok=True)
    return stopped
