"""Base images are pinned: a tag that moves changes nothing until the lock is refreshed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_ops.cli.main import main
from cortex_ops.kernel.errors import OpsError
from tests.support.engine import docker, docker_env, record
from tests.support.registry import registry
from tests.support.tiny import Tiny, build_images, free_port, scratch_project

pytestmark = pytest.mark.usefixtures("plain_proxy")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tiny, str]]:
    """A service on a base image of a registry; the machine builds no base images itself."""
    with registry(tmp_path / "registry") as host:
        tiny = scratch_project(tmp_path / "project")
        tiny.write("api/Dockerfile", f"FROM {host}/base:1\nCOPY api /\nUSER 1000\n")
        (tiny.root / ".cortex" / "bases.json").unlink()
        for name, value in tiny.environ().items():
            monkeypatch.setenv(name, value)
        yield tiny, host


def push(host: str, folder: Path, text: str) -> str:
    """Give the tag new content, as an index; its digest."""
    context = folder / "base"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(text)
    (context / "file").write_text(text)
    argv = [record()["docker"], "buildx", "build", "--quiet", "--provenance=true"]
    argv += ["--output", f"type=registry,name={host}/base:1", str(context)]
    subprocess.run(argv, env=docker_env(), check=True, capture_output=True)
    return docker("buildx", "imagetools", "inspect", f"{host}/base:1", "--format", "{{.Manifest.Digest}}")


def lock(tiny: Tiny) -> dict[str, str]:
    return dict(json.loads((tiny.root / "deploy" / "bases.lock").read_text()))


def test_a_tag_that_moves_changes_nothing_until_the_lock_is_refreshed(
    project: tuple[Tiny, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, host = project
    first = push(host, tmp_path, "FROM scratch\nCOPY file /first\n")
    assert main(["images", "refresh"]) == 0
    assert lock(tiny) == {f"{host}/base:1": first}
    assert f"{host}/base:1 is now {first}" in capsys.readouterr().out
    one = build_images(tiny.wire())
    second = push(host, tmp_path, "FROM scratch\nCOPY file /second\n")
    assert second != first
    assert build_images(tiny.wire()).built == ()
    tiny.answer("changed")
    assert "first" in files(build_images(tiny.wire()).lock.images["api"].reference())
    assert main(["images", "refresh"]) == 0 and lock(tiny) == {f"{host}/base:1": second}
    two = build_images(tiny.wire())
    assert two.built == ("api",) and "second" in files(two.lock.images["api"].reference())
    assert one.lock.images["api"].fingerprint != two.lock.images["api"].fingerprint
    capsys.readouterr()
    assert main(["images", "refresh"]) == 0 and "0 changed" in capsys.readouterr().out


def test_without_a_lock_the_first_build_pins_what_it_found(project: tuple[Tiny, str], tmp_path: Path) -> None:
    tiny, host = project
    push(host, tmp_path, "FROM scratch\nCOPY file /first\n")
    build_images(tiny.wire())
    assert any("pinned on this machine to what they are today" in line for line in tiny.lines)
    push(host, tmp_path, "FROM scratch\nCOPY file /second\n")
    assert build_images(tiny.wire()).built == ()


def test_a_base_that_is_nowhere_is_refused_by_name_and_place_and_the_lock_stays(project: tuple[Tiny, str]) -> None:
    tiny, host = project
    kept = json.dumps({"x": "sha256:1"})
    (tiny.root / "deploy" / "bases.lock").write_text(kept)
    with pytest.raises(OpsError, match=f"base image {host}/base:1, named at api/Dockerfile:1, does not exist"):
        build_images(tiny.wire())
    assert main(["images", "refresh"]) == 1
    assert (tiny.root / "deploy" / "bases.lock").read_text() == kept


def test_a_base_that_is_only_in_the_engine_is_built_on_and_counts_by_its_id(project: tuple[Tiny, str]) -> None:
    tiny, _ = project
    name = f"only-here-{tiny.name}:1"
    seen = []
    try:
        for marker in ("/first", "/second"):
            text = f"FROM scratch\nLABEL which={marker}\n"
            argv = [record()["docker"], "build", "--quiet", "--tag", name, "-"]
            subprocess.run(argv, env=docker_env(), input=text.encode(), check=True, capture_output=True)
            tiny.write("api/Dockerfile", f"FROM {name}\nCOPY api /\nUSER 1000\n")
            built = build_images(tiny.wire())
            assert "api" in built.built
            assert build_images(tiny.wire()).built == ()
            seen.append(docker("inspect", "-f", "{{.Config.Labels.which}}", built.lock.images["api"].reference()))
    finally:
        docker("image", "rm", name, check=False)
    assert seen == ["/first", "/second"]


def test_a_registry_that_does_not_answer_leaves_the_lock_as_it_is_also_where_the_engine_has_the_image(
    project: tuple[Tiny, str], capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, _ = project
    image = f"127.0.0.1:{free_port()}/base:1"
    tiny.write("api/Dockerfile", f"FROM {image}\nCOPY api /\nUSER 1000\n")
    kept = json.dumps({image: "sha256:1"})
    (tiny.root / "deploy" / "bases.lock").write_text(kept)
    docker("tag", "node:24-bookworm-slim", image)
    try:
        assert main(["images", "refresh"]) == 1
    finally:
        docker("image", "rm", image)
    said = capsys.readouterr().err
    assert f"base image {image}, named at api/Dockerfile:1, cannot be looked up: " in said
    assert "does not answer" in said
    assert (tiny.root / "deploy" / "bases.lock").read_text() == kept


def test_a_machine_that_builds_its_own_bases_does_not_refresh_the_lock(
    project: tuple[Tiny, str], capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, _ = project
    (tiny.root / ".cortex" / "bases.json").write_text("{}")
    assert main(["images", "refresh"]) == 3
    assert "their digests mean nothing elsewhere" in capsys.readouterr().err
    assert not (tiny.root / "deploy" / "bases.lock").exists()


def files(image: str) -> str:
    """Names in the root of an image that was never started."""
    container = docker("create", image, "/none")
    try:
        argv = [record()["docker"], "export", container]
        archive = subprocess.run(argv, env=docker_env(), check=True, capture_output=True).stdout
        return subprocess.run(["tar", "-t"], input=archive, check=True, capture_output=True).stdout.decode()
    finally:
        docker("rm", container)
