"""What a real build hands out beside the images: new layers only, judged without the engine saving anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_ops.adapters import engine_images
from cortex_ops.images import policy
from cortex_ops.images.layers import Blob
from cortex_ops.kernel.errors import OpsError
from tests.support.engine import docker
from tests.support.tiny import Tiny, build_images, scratch_project, tiny_project

pytestmark = pytest.mark.usefixtures("plain_proxy")


@pytest.fixture
def project(tmp_path: Path) -> Tiny:
    return scratch_project(tmp_path)


def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths in every layer that is read from now on."""
    paths: list[str] = []

    def noting(blob: Blob) -> Iterator[str]:
        paths.extend(path for path, _, _ in blob.files)
        return iter(())

    monkeypatch.setattr(policy, "_read_layer", noting)
    return paths


def forbid_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_images, "saved", lambda *_: pytest.fail("the engine was asked for whole images"))


def test_a_build_reads_its_new_layers_and_none_of_the_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tiny_project(tmp_path) as tiny:
        build_images(tiny.wire())
        forbid_saving(monkeypatch)
        paths = read(monkeypatch)
        tiny.write("api/new.txt", "new")
        assert build_images(tiny.wire()).built == ("api",)
        assert sorted(path.rpartition("/")[2] for path in paths) == [
            *("Dockerfile", "answer.txt", "mode.txt", "new.txt", "probe.mjs", "server.mjs")
        ]


def test_secrets_in_layers_settings_and_history_are_found(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_saving(monkeypatch)
    project.write("api/.env", "X=1")
    project.write("api/Dockerfile", "FROM scratch\nCOPY api /app/\nENV DB_PASSWORD=hunter2hunter2\nUSER 1000\n")
    found = build_images(project.wire()).findings["api"]
    assert found == (
        "its environment sets DB_PASSWORD",
        "its history shows a value for DB_PASSWORD",
        "a layer holds app/.env, which looks like a secret",
    )


def test_what_the_engine_holds_has_the_date_of_its_build(project: Tiny) -> None:
    ref = build_images(project.wire()).lock.images["api"]
    assert not docker("image", "inspect", "--format", "{{.Created}}", ref.image_id).startswith("1970")


@pytest.mark.parametrize("name", ["blobs", "layers", "bake", "sha256"])
def test_a_service_may_be_called_what_the_folders_are(project: Tiny, name: str) -> None:
    service = project.stack()["services"]["api"]
    project.stack({"services": {name: {key: value for key, value in service.items() if key != "route"}}})
    project.write("api/.env", "X=1")
    assert set(build_images(project.wire()).findings[name]) == {"a layer holds .env, which looks like a secret"}


def test_an_image_with_triggers_is_judged_and_its_triggers_do_not_run(project: Tiny) -> None:
    project.write("api/Dockerfile", "FROM scratch\nCOPY api /app/\nONBUILD COPY nowhere /\nUSER 1000\n")
    project.write("api/.env", "X=1")
    assert build_images(project.wire()).findings["api"] == ("a layer holds app/.env, which looks like a secret",)


def test_what_a_killed_build_left_goes_with_the_next_and_nothing_is_left_by_one_that_ends(project: Tiny) -> None:
    folder = project.root / ".cortex" / "cache" / "builds"
    (folder / "999999999-1-left" / "api").mkdir(parents=True)
    build_images(project.wire())
    assert list(folder.iterdir()) == []
    project.write("api/Dockerfile", "FROM scratch\nCOPY nowhere /\n")
    with pytest.raises(OpsError):
        build_images(project.wire())
    assert list(folder.iterdir()) == []
