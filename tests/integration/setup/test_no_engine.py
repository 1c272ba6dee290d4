"""No engine, and no machine where one may be set up: one sentence that says what to install."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.setup.engine import no_engine
from tests.support.checkout import Checkout, checkout, short_folder

NOBODY = 65534


@pytest.fixture
def anyone_s() -> Iterator[Checkout]:
    """A checkout that an unprivileged user may write to, on a machine whose own engine is out of sight."""
    with short_folder() as folder:
        folder.chmod(0o755)
        made = checkout(
            folder / "checkout",
            HOME=str(folder),
            PATH=str(folder / "nothing"),
            CORTEX_OPS_ENGINE_HOME=str(folder / "home"),
            CORTEX_OPS_RUNTIME=str(folder / "run"),
        )
        made.folder.chmod(0o777)
        yield made


def user() -> tuple[int | None, str]:
    """(whom to become, a Python that they can run): nobody when the tests run as root, else ourselves."""
    if os.geteuid() != 0:
        return None, sys.executable
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    assert system is not None, "this machine has no python3 that an unprivileged user could run"
    return NOBODY, system


def test_without_an_engine_and_without_root_one_sentence_says_what_to_install(anyone_s: Checkout) -> None:
    if any(Path(p).exists() for p in ("/var/run/docker.sock", "/run/docker.sock")):
        anyone_s.env["DOCKER_HOST"] = "unix:///nonexistent.sock"
    who, python = user()
    done = anyone_s.setup("all", python=python, user=who)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2 and lines[0].startswith("✗ "), done.stderr
    if "DOCKER_HOST" not in anyone_s.env:
        assert "no Docker engine answers" in lines[0]
        assert "install Docker Engine" in lines[1]
    assert not (anyone_s.folder / ".cortex" / "engine.json").exists()


@pytest.mark.parametrize(
    ("platform", "expected"),
    [("darwin", "install OrbStack or Docker Desktop"), ("linux", "install Docker Engine (https://docs.docker.com/")],
)
def test_what_to_install_depends_on_the_system(platform: str, expected: str) -> None:
    error = no_engine(platform)
    assert "no Docker engine answers" in error.message and error.remedy.startswith(expected)


def test_an_engine_that_this_user_may_not_use_is_said_to_be_so(anyone_s: Checkout) -> None:
    path = anyone_s.folder.parent / "docker.sock"
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(path))
        path.chmod(0)
        closed.listen()
        who, python = user()
        done = anyone_s.setup("engine", python=python, user=who, DOCKER_HOST=f"unix://{path}")
    assert done.returncode == 2
    assert f"this user may not use the engine at unix://{path}" in done.stderr


def test_the_home_of_dagster_is_in_the_checkout_and_known_by_its_absolute_path(anyone_s: Checkout) -> None:
    (anyone_s.folder / ".env").write_text("KEPT=1\nDAGSTER_HOME=/somewhere/else\n")
    (anyone_s.folder / ".env").chmod(0o666)
    who, python = user()
    anyone_s.setup("engine", python=python, user=who, DOCKER_HOST="unix:///nonexistent.sock")
    home = anyone_s.folder / ".dagster"
    assert (anyone_s.folder / ".env").read_text() == f"KEPT=1\nDAGSTER_HOME={home}\n"
    assert (home / "dagster.yaml").read_bytes() == (anyone_s.folder / "dagster.yaml").read_bytes()
