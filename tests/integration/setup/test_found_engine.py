"""An engine that is there is used as it is, whoever's it is; one that cannot be used is said to be so, and why."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from tests.support.checkout import Checkout, checkout, daemons, short_folder
from tests.support.engine import docker, docker_env, record
from tests.support.tls import engine_behind_tls

GUARDED = ("apt-get", "apt", "dpkg", "dockerd", "containerd", "docker-registry", "mmdebstrap", "go", "systemctl")


@pytest.fixture
def other(tmp_path: Path) -> Checkout:
    """A checkout with an empty cache: whatever it needs beyond what it finds would show there."""
    return checkout(tmp_path / "checkout", CORTEX_OPS_CACHE=str(tmp_path / "cache"))


def guard(folder: Path) -> str:
    """A PATH on which every program that installs or starts something writes its name down and fails."""
    folder.mkdir()
    for name in GUARDED:
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{folder}/called\nexit 97\n')
        (folder / name).chmod(0o755)
    return f"{folder}:{Path(record()['docker']).parent}:{os.environ['PATH']}"


def the_engine() -> dict[str, str]:
    """The variables by which a person points at the running engine."""
    env = docker_env()
    return {key: env[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in env}


def bare_elsewhere(folder: Path) -> dict[str, str]:
    """The machine's own engine, if it has one, is somebody's found engine to a set-up with these variables."""
    return {"CORTEX_OPS_ENGINE_HOME": str(folder / "home"), "CORTEX_OPS_RUNTIME": str(folder / "run")}


def test_a_found_engine_is_used_and_nothing_is_started_installed_or_downloaded(
    other: Checkout, tmp_path: Path
) -> None:
    before, installed = daemons(), Path("/var/lib/dpkg/status")
    packages = installed.read_bytes() if installed.is_file() else b""
    env = the_engine() | bare_elsewhere(tmp_path) | {"PATH": guard(tmp_path / "guard")}
    done = other.setup("all", **env)
    assert done.returncode == 0, done.stderr
    assert other.record()["kind"] == "found" and other.record()["host"] == record()["host"]
    assert not (tmp_path / "guard" / "called").exists(), (tmp_path / "guard" / "called").read_text()
    assert daemons() == before
    assert not installed.is_file() or installed.read_bytes() == packages
    assert not (tmp_path / "cache").exists() and not (tmp_path / "home").exists()
    assert other.setup("stop", **env).returncode == 0
    assert daemons() == before, "set-up stopped an engine that it had only found"


def test_the_person_s_own_configuration_stays_in_use_when_a_plugin_is_missing(tmp_path: Path) -> None:
    other = checkout(tmp_path / "checkout")  # with this machine's cache: the plugin is there already
    (tmp_path / "config" / "contexts").mkdir(parents=True)
    (tmp_path / "config" / "config.json").write_text('{"auths": {"registry.example": {}}}')
    env = {"DOCKER_HOST": the_engine()["DOCKER_HOST"], "DOCKER_CONFIG": str(tmp_path / "config")}
    path = tmp_path / "bin"
    path.mkdir()
    program = shutil.which(record()["docker"])
    assert program is not None
    # A CLI whose system-wide plugins are out of sight: only those of its configuration folder count.
    (path / "docker").write_text(
        "#!/bin/sh\n"
        'case "$1" in compose) test -e "$DOCKER_CONFIG/cli-plugins/docker-compose" || exit 1;; esac\n'
        f'exec {program} "$@"\n'
    )
    (path / "docker").chmod(0o755)
    buildx = tmp_path / "config" / "cli-plugins" / "docker-buildx"
    buildx.parent.mkdir()
    buildx.write_text(
        '#!/bin/sh\ncase "$1" in docker-cli-plugin-metadata) echo \'{"SchemaVersion":"0.1.0","Vendor":"x"}\';;'
        " *) echo github.com/docker/buildx v0.99.0 x;; esac\n"
    )
    buildx.chmod(0o755)
    done = other.setup("engine", PATH=f"{path}:{os.environ['PATH']}", **env, **bare_elsewhere(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "no compose plugin" in done.stderr and "buildx" not in done.stderr
    folder = Path(str(other.record()["config_dir"]))
    assert json.loads((folder / "config.json").read_text()) == {"auths": {"registry.example": {}}}
    assert (folder / "contexts").resolve() == tmp_path / "config" / "contexts"
    assert (folder / "cli-plugins" / "docker-buildx").resolve() == buildx
    assert sorted(p.name for p in (tmp_path / "config" / "cli-plugins").iterdir()) == ["docker-buildx"]
    version = subprocess.run(
        [path / "docker", "compose", "version", "--short"],
        env={**os.environ, **env, "DOCKER_CONFIG": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(version.lstrip("v").split(".")[0]) >= 2


def test_an_old_plugin_that_the_person_s_configuration_puts_first_is_a_sentence(tmp_path: Path) -> None:
    other = checkout(tmp_path / "checkout")
    old = tmp_path / "extra" / "docker-buildx"
    old.parent.mkdir()
    old.write_text(
        '#!/bin/sh\ncase "$1" in docker-cli-plugin-metadata) echo \'{"SchemaVersion":"0.1.0","Vendor":"x"}\';;'
        " *) echo github.com/docker/buildx v0.10.2 x;; esac\n"
    )
    old.chmod(0o755)
    (tmp_path / "config").mkdir()
    before = json.dumps({"cliPluginsExtraDirs": [str(old.parent)]})
    (tmp_path / "config" / "config.json").write_text(before)
    env = {"DOCKER_HOST": the_engine()["DOCKER_HOST"], "DOCKER_CONFIG": str(tmp_path / "config")}
    path = f"{Path(record()['docker']).parent}:{os.environ['PATH']}"
    done = other.setup("engine", PATH=path, **env, **bare_elsewhere(tmp_path))
    assert done.returncode == 2 and "has buildx 0.10, 0.17 is needed" in done.stderr
    assert "the docker CLI takes an old buildx from a folder of its own" in done.stderr
    assert (tmp_path / "config" / "config.json").read_text() == before


class OldEngine(BaseHTTPRequestHandler):
    """A stand-in that answers as an engine of another age does."""

    def do_GET(self) -> None:
        body = json.dumps({"Version": "24.0.7"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def old_engine() -> Iterator[str]:
    with short_folder() as folder:
        server = ThreadingUnixStreamServer(str(folder / "docker.sock"), OldEngine)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{folder}/docker.sock"
        server.shutdown()
        server.server_close()


def test_an_engine_older_than_25_is_refused_with_its_version(other: Checkout, old_engine: str) -> None:
    done = other.setup("engine", DOCKER_HOST=old_engine)
    assert done.returncode == 2
    assert "24.0.7, older than 25" in done.stderr and "update Docker" in done.stderr
    assert not (other.folder / ".cortex" / "engine.json").exists()


def test_a_docker_host_where_nothing_answers_is_an_error_and_no_other_engine_is_taken(other: Checkout) -> None:
    done = other.setup("engine", DOCKER_HOST="unix:///tmp/co-nobody.sock")
    assert done.returncode == 2
    assert "DOCKER_HOST is unix:///tmp/co-nobody.sock, and no engine answers there" in done.stderr
    assert not (other.folder / ".cortex" / "engine.json").exists()


REACH = """
import subprocess
from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.settings import load_settings
engine = Engine(load_settings())
said = engine.run(engine.argv("info", "--format", "{{.ID}}"), what="docker info")
print(engine.id, said.stdout.strip())
"""


def reached(other: Checkout, **env: str) -> list[str]:
    """The ids of the engine that the project's own API client and command lines talk to."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "CORTEX_OPS_"))}
    done = subprocess.run(
        [sys.executable, "-c", REACH],
        env={**clean, **env, "CORTEX_OPS_PROJECT": str(other.folder)},
        cwd=other.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def stand_in_ssh(folder: Path) -> str:
    """A PATH with an `ssh` that goes to this machine's engine, wherever it is told to go."""
    folder.mkdir()
    program, host = record()["docker"], the_engine()["DOCKER_HOST"]
    (folder / "ssh").write_text(
        f'#!/bin/sh\ncase "$*" in *there.invalid*dial-stdio) ;; *) echo "no route" >&2; exit 255;; esac\n'
        f"DOCKER_HOST={host} exec {program} system dial-stdio\n"
    )
    (folder / "ssh").chmod(0o755)
    return f"{folder}:{Path(program).parent}:/usr/bin:/bin"


@pytest.mark.parametrize("chosen_by", ["DOCKER_HOST", "context"])
def test_an_engine_behind_ssh_is_used(other: Checkout, tmp_path: Path, chosen_by: str) -> None:
    path = stand_in_ssh(tmp_path / "bin")
    env = {"PATH": path, "DOCKER_CONFIG": config_with_plugins(tmp_path / "config"), **bare_elsewhere(tmp_path)}
    if chosen_by == "context":
        docker_at(env, "context", "create", "far", "--docker", "host=ssh://there.invalid")
        docker_at(env, "context", "use", "far")
    else:
        env["DOCKER_HOST"] = "ssh://there.invalid"
    before = daemons()
    done = other.setup("all", **env)
    assert done.returncode == 0, done.stderr
    assert (other.record()["host"], other.record()["kind"]) == ("ssh://there.invalid", "found")
    assert reached(other, PATH=path) == [engine_id()] * 2
    assert daemons() == before


def test_an_engine_behind_ssh_that_cannot_be_reached_is_an_error_with_the_reason(
    other: Checkout, tmp_path: Path
) -> None:
    done = other.setup("engine", DOCKER_HOST="ssh://nowhere.invalid", PATH=stand_in_ssh(tmp_path / "bin"))
    assert done.returncode == 2
    assert "ssh://nowhere.invalid, and no engine answers there: " in done.stderr and "no route" in done.stderr


@pytest.mark.parametrize("chosen_by", ["DOCKER_HOST", "context"])
def test_an_engine_behind_tls_is_used(other: Checkout, tmp_path: Path, chosen_by: str) -> None:
    env = {"PATH": f"{Path(record()['docker']).parent}:/usr/bin:/bin", **bare_elsewhere(tmp_path)}
    env["DOCKER_CONFIG"] = config_with_plugins(tmp_path / "config")
    with engine_behind_tls(tmp_path / "certs", the_engine()["DOCKER_HOST"]) as host:
        files = ",".join(f"{n}={tmp_path}/certs/{n}.pem" for n in ("ca", "cert", "key"))
        if chosen_by == "context":
            docker_at(env, "context", "create", "safe", "--docker", f"host={host},{files}")
            env["DOCKER_CONTEXT"] = "safe"
        else:
            env |= {"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path / "certs")}
        done = other.setup("all", **env)
        assert done.returncode == 0, done.stderr
        assert (other.record()["host"], other.record()["kind"]) == (host, "found")
        assert reached(other, PATH=env["PATH"]) == [engine_id()] * 2


def test_an_engine_that_wants_a_certificate_is_not_reached_without_one(other: Checkout, tmp_path: Path) -> None:
    path = f"{Path(record()['docker']).parent}:/usr/bin:/bin"
    with engine_behind_tls(tmp_path / "certs", the_engine()["DOCKER_HOST"]) as host:
        for name in ("cert", "key"):
            (tmp_path / "certs" / f"{name}.pem").unlink()
        tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path / "certs")}
        done = other.setup("engine", DOCKER_HOST=host, PATH=path, **tls)
    assert done.returncode == 2 and "no engine answers there: " in done.stderr
    assert not (other.folder / ".cortex" / "engine.json").exists()


def test_a_context_whose_engine_is_stopped_is_an_error_and_no_other_engine_is_taken(
    other: Checkout, tmp_path: Path
) -> None:
    env = {"PATH": f"{Path(record()['docker']).parent}:/usr/bin:/bin", "DOCKER_CONFIG": str(tmp_path / "config")}
    docker_at(env, "context", "create", "desktop", "--docker", "host=unix:///tmp/co-nobody.sock")
    done = other.setup("engine", DOCKER_CONTEXT="desktop", **env)
    assert done.returncode == 2
    assert "the docker context 'desktop' is unix:///tmp/co-nobody.sock, and no engine answers" in done.stderr
    gone = other.setup("engine", DOCKER_CONTEXT="removed", **env)
    assert gone.returncode == 2 and "removed" in gone.stderr and "docker context ls" in gone.stderr
    assert not (other.folder / ".cortex" / "engine.json").exists()


def docker_at(env: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [record()["docker"], *arguments], env=env, capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


def engine_id() -> str:
    return docker("info", "--format", "{{.ID}}")


def config_with_plugins(folder: Path) -> str:
    """A person's DOCKER_CONFIG folder with both plugins in it."""
    folder.mkdir()
    (folder / "cli-plugins").symlink_to(Path(record()["config_dir"]) / "cli-plugins")
    return str(folder)
