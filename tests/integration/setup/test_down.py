"""`make down` removes what this project made in the engine and nothing else; data goes only with PURGE=1."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import ROOT, docker, record
from tests.support.tiny import Tiny, tiny_project


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    """A released project with this project's Makefile."""
    with tiny_project(tmp_path, postgres=True) as project:
        shutil.copyfile(ROOT / "Makefile", tmp_path / "Makefile")
        shutil.copytree(ROOT / "deploy" / "setup", tmp_path / "deploy" / "setup")
        (tmp_path / "deploy" / "__init__.py").write_text("")
        (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
        project.answer(secrets.token_hex(8))  # so that its image is nobody else's
        assert project.release().ok
        yield project


@pytest.fixture
def bystanders(tiny: Tiny, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What another project has in the same engine, under names that begin as ours do: kind → name."""
    other = f"{tiny.prefix}2"
    labels = ["--label", f"org.cortex-ops.project={other}", "--label", f"com.docker.compose.project={other}-stores"]
    made = {"volume": f"{other}-stores_x-data", "network": f"{other}-stores", "container": f"{other}-r1-api"}
    made["image"] = f"cortex-ops/{other}:1"
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM node:24-bookworm-slim\nLABEL org.cortex-ops.service=api\n")
    docker("buildx", "build", "-q", "--load", "--provenance=false", "-t", made["image"], str(folder))
    docker("volume", "create", *labels, made["volume"])
    docker("network", "create", *labels, made["network"])
    docker("create", "--network", "none", *labels, "--name", made["container"], made["image"])
    try:
        yield made
    finally:
        docker("rm", "-f", made["container"], check=False)
        docker("network", "rm", made["network"], check=False)
        docker("volume", "rm", made["volume"], check=False)
        docker("rmi", made["image"], check=False)


def down(tiny: Tiny, *arguments: str) -> str:
    host = {"DOCKER_HOST": record()["host"], "PATH": f"{Path(record()['docker']).parent}:{os.environ['PATH']}"}
    argv = ["make", "down", f"PYTHON={sys.executable}", *arguments]
    done = subprocess.run(
        argv, cwd=tiny.root, env=tiny.environ(**host), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def cli(tiny: Tiny, *arguments: str, code: int = 0) -> str:
    argv = [sys.executable, "-m", "cortex_ops.cli.main", *arguments]
    done = subprocess.run(argv, env=tiny.environ(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def left(tiny: Tiny) -> dict[str, list[str]]:
    """Everything in the engine whose name is this project's."""
    names = {
        "container": docker("ps", "-a", "--format", "{{.Names}}"),
        "network": docker("network", "ls", "--format", "{{.Name}}"),
        "volume": docker("volume", "ls", "-q"),
    }
    return {kind: sorted(n for n in text.split() if n.startswith(f"{tiny.prefix}-")) for kind, text in names.items()}


def test_down_removes_what_was_made_and_nothing_else_and_purge_removes_the_data_too(
    tiny: Tiny, bystanders: dict[str, str]
) -> None:
    ours = image_of(tiny)
    before = left(tiny)
    assert before["container"] and before["network"] and any(v.endswith("-data") for v in before["volume"])
    down(tiny)
    after = left(tiny)
    assert after == {"container": [], "network": [], "volume": [v for v in before["volume"] if v.endswith("-data")]}
    assert (tiny.root / ".cortex" / "store").is_dir() and docker("image", "inspect", "-f", "{{.Id}}", ours) == ours
    assert "taken down" in cli(tiny, "history", "-e", "local") and "▶" not in cli(tiny, "history", "-e", "local")
    assert "was taken down by" in cli(tiny, "health", "-e", "local", code=1)
    assert "removed" not in down(tiny), "the second time there is nothing left to remove"
    assert tiny.release().ok and tiny.get(), "it runs again with the data that was kept"
    assert "taken down" not in cli(tiny, "history", "-e", "local")
    docker("rm", "-f", *tiny.containers())
    down(tiny)
    assert "taken down" not in cli(tiny, "history", "-e", "local"), "nothing of it ran on this engine"
    down(tiny, "PURGE=1")
    assert left(tiny) == {"container": [], "network": [], "volume": []}
    assert docker("image", "ls", "-q", "--no-trunc").split().count(ours) == 0
    assert not (tiny.root / ".cortex" / "store").exists() and not (tiny.root / ".dagster").exists()
    for kind, name in bystanders.items():
        docker(kind, "inspect", name)


def image_of(tiny: Tiny) -> str:
    (name, *_) = tiny.containers(service="api")
    return docker("inspect", "-f", "{{.Image}}", name)
