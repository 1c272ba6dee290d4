"""Base images of a bare machine: built once for their content, found by every later checkout."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from deploy.setup import tools
from deploy.setup.images import Made, content_of
from deploy.setup.lock import alone
from deploy.setup.manifests import digest, repository, retag
from deploy.setup.registry import Registry
from deploy.setup.shell import SetupError
from tests.support.checkout import CACHE, PROGRAMS, checkout
from tests.support.engine import ROOT, docker, record

STAND_IN = "qdrant/qdrant:v1.7.4"


def test_a_second_checkout_builds_nothing_and_gets_the_same_images(tmp_path: Path) -> None:
    other = checkout(tmp_path / "other")
    done = other.setup("all")
    assert done.returncode == 0, done.stderr
    assert "building" not in done.stderr and "making" not in done.stderr and "installing" not in done.stderr
    recorded = json.loads((other.folder / ".cortex" / "bases.json").read_text())
    assert recorded == json.loads((ROOT / ".cortex" / "bases.json").read_text())
    for name, wanted in recorded.items():
        assert digest(record()["mirror"], *repository(name)) == wanted
        assert docker("image", "inspect", "-f", "{{.Id}}", name) == wanted


def test_what_stands_in_for_a_public_image_says_so(tmp_path: Path) -> None:
    assert record()["standins"] == [STAND_IN]
    label = docker("image", "inspect", "-f", '{{index .Config.Labels "org.cortex-ops.stand-in"}}', STAND_IN)
    assert label == "qdrant"


def test_an_image_is_made_once_and_a_tag_that_means_something_else_is_put_right(tmp_path: Path) -> None:
    name = f"cortex-ops-test/{secrets.token_hex(4)}:1"
    (tmp_path / "Dockerfile").write_text(f"FROM scratch\nLABEL name={name}\n")
    made: list[str] = []

    def make() -> None:
        made.append(name)
        docker("buildx", "build", "-q", "--provenance=false", "--load", "-t", name, str(tmp_path))

    (tmp_path / "newer").symlink_to(PROGRAMS)
    registry = Registry(tmp_path, tmp_path / "run")
    try:
        mirror, (repo, tag) = registry.start(), repository(name)
        for _ in range(2):
            Made({**record(), "mirror": mirror}).ensure(name, "content" * 8, make)
        wanted = digest(mirror, repo, tag)
        assert made == [name] and wanted == docker("image", "inspect", "-f", "{{.Id}}", name)
        other = Made({**record(), "mirror": mirror})
        docker("tag", "redis:7", f"{mirror}/{repo}:other")
        docker("push", "-q", f"{mirror}/{repo}:other")
        retag(mirror, repo, "other", tag)
        assert digest(mirror, repo, tag) != wanted
        other.ensure(name, "content" * 8, make)
        assert digest(mirror, repo, tag) == other.digests[name] == wanted and made == [name]
    finally:
        registry.stop()
        docker("rmi", name, f"{mirror}/{repo}:other", check=False)


def test_content_is_paths_modes_bytes_and_what_is_below(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    first = content_of(tmp_path, "below")
    assert content_of(tmp_path, "below") == first and content_of(tmp_path, "other") != first
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "x.pyc").write_text("")
    assert content_of(tmp_path, "below") == first
    (tmp_path / "Dockerfile").chmod(0o755)
    assert content_of(tmp_path, "below") != first
    (tmp_path / "Dockerfile").rename(tmp_path / "Dockerfile.other")
    assert content_of(tmp_path, "below") != first


def test_a_download_that_was_cut_off_is_not_trusted(tmp_path: Path) -> None:
    half = tmp_path / "wheels" / "iniconfig-2.1.0" / "iniconfig" / "__init__.py"
    half.parent.mkdir(parents=True)
    half.write_text("cut off")
    found = tools.wheel_file(tmp_path, "iniconfig==2.1.0", "__init__.py")
    assert "cut off" not in found.read_text()
    found.write_text("whole")
    assert tools.wheel_file(tmp_path, "iniconfig==2.1.0", "__init__.py").read_text() == "whole"


def test_two_set_ups_at_once_take_turns(tmp_path: Path) -> None:
    other = checkout(tmp_path / "other")
    with alone(CACHE):
        second = other.begin("engine")
        assert second.stderr is not None
        assert second.stderr.readline() == f"  waiting for the set-up of {ROOT} (pid {os.getpid()})\n"
        assert second.poll() is None and not (other.folder / ".cortex").exists()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 0 and other.record()["host"] == record()["host"], errors


def test_a_set_up_that_waits_too_long_for_another_names_it(tmp_path: Path) -> None:
    said = rf"{ROOT} \(pid {os.getpid()}\) has not ended for 0.3 s"
    with alone(tmp_path), pytest.raises(SetupError, match=said), alone(tmp_path, deadline=0.3):
        raise AssertionError("two at once")


@pytest.mark.slow
def test_postgres_initialises_once_as_its_user_with_a_read_only_root(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("a pass'word")
    secret.chmod(0o644)
    script = tmp_path / "first.sql"
    script.write_text("CREATE TABLE made_at_start (n int);")
    name = f"setup-postgres-{tmp_path.parent.name}"
    run = ["run", "-d", "--name", name, "--user", "999:999", "--read-only", "--network", "none"]
    run += ["--tmpfs", "/tmp", "--tmpfs", "/var/run/postgresql:uid=999,gid=999"]
    run += ["-v", f"{name}:/var/lib/postgresql/data"]
    run += ["-v", f"{secret}:/run/password:ro", "-v", f"{script}:/docker-entrypoint-initdb.d/first.sql:ro"]
    run += ["-e", "POSTGRES_PASSWORD_FILE=/run/password", "-e", "POSTGRES_USER=app", "-e", "POSTGRES_DB=shop"]
    query = ["-h", "127.0.0.1", "-U", "app", "-d", "shop", "-tAc", "SELECT count(*) FROM made_at_start"]
    try:
        for _ in range(2):
            docker(*run, "postgres:15")
            ready = "for i in $(seq 150); do pg_isready -q -h 127.0.0.1 -U app && exit 0; sleep 0.2; done; exit 1"
            docker("exec", name, "sh", "-c", ready)
            assert docker("exec", "-e", "PGPASSWORD=a pass'word", name, "psql", *query) == "0"
            docker(
                "exec", name, "sh", "-c", "for p in pg_dump pg_dumpall pg_restore; do $p --version || exit 1; done"
            )
            docker("rm", "-f", name)
    finally:
        docker("rm", "-f", name, check=False)
        docker("volume", "rm", "-f", name, check=False)


def test_node_brings_npm_and_its_user(tmp_path: Path) -> None:
    said = docker(
        "run",
        "--rm",
        "--network",
        "none",
        "--user",
        "node",
        "node:24-bookworm-slim",
        "sh",
        "-c",
        "node -p 'process.versions.node.split(`.`)[0]'; npm --version >/dev/null && id -u",
    )
    assert said.split() == ["24", "1000"]
