"""What a build says it made is what the engine holds, or nothing is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cortex_ops.adapters import engine_images
from cortex_ops.images.layers import Layouts
from cortex_ops.images.plan import Place
from cortex_ops.images.readback import made
from cortex_ops.kernel.errors import OpsError

HERE = Place("engine-1", "linux/amd64", "owner123")
TAGS = {"api": "cortex-ops/api:build-1"}
HELD = {"Id": "sha256:held", "RootFS": {"Layers": ["sha256:d1"]}, "Config": {"User": "1000"}, "Size": 5}


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An engine that holds one image; → the names that it was given."""
    names: dict[str, Any] = {}
    monkeypatch.setattr(engine_images, "inspect", lambda _e, tags: {tag: HELD for tag in tags if "api" in tag})
    monkeypatch.setattr(engine_images, "rename", lambda _e, new: names.update(new))
    return names


def layout(folder: Path, *unpacked: str) -> Layouts:
    """One that says its manifest is `sha256:written`."""
    found = Layouts(folder, ["api"], [])
    blobs = folder / "api" / "blobs" / "sha256"
    (folder / "api" / "index.json").write_text(json.dumps({"manifests": [{"digest": "sha256:written"}]}))
    (blobs / "written").write_text(json.dumps({"config": {"digest": "sha256:c"}, "layers": []}))
    (blobs / "c").write_text(json.dumps({"rootfs": {"diff_ids": list(unpacked)}}))
    return found


def said(digest: str) -> dict[str, dict[str, str]]:
    return {"api": {"containerimage.digest": digest}}


def test_the_engines_image_gets_a_name_by_its_own_content(tmp_path: Path, renamed: dict[str, Any]) -> None:
    found = made(None, HERE, TAGS, said("sha256:held"), Layouts(tmp_path, [], []))["api"]  # type: ignore[arg-type]
    assert (found.ref.image_id, found.ref.user, found.ref.size) == ("sha256:held", "1000", 5)
    assert found.layers == ("sha256:d1",)
    assert renamed == {"cortex-ops/api:build-1": ("sha256:held", "cortex-ops/api:keep-held-owner123")}


def test_a_build_that_names_its_layout_is_believed_where_the_layers_are_the_engines(
    tmp_path: Path, renamed: dict[str, Any]
) -> None:
    found = made(None, HERE, TAGS, said("sha256:written"), layout(tmp_path, "sha256:d1"))  # type: ignore[arg-type]
    assert found["api"].ref.image_id == "sha256:held" and renamed


@pytest.mark.parametrize(
    ("digest", "unpacked"), [("sha256:written", "sha256:d2"), ("sha256:another", "sha256:d1"), ("", "sha256:d1")]
)
def test_what_differs_from_the_engines_image_is_refused_and_nothing_is_named(
    tmp_path: Path, renamed: dict[str, Any], digest: str, unpacked: str
) -> None:
    with pytest.raises(OpsError, match=r"the build says sha256:\w+, the engine holds sha256:held|does not say which"):
        made(None, HERE, TAGS, said(digest), layout(tmp_path, unpacked))  # type: ignore[arg-type]
    assert not renamed


def test_an_image_that_the_engine_does_not_hold_is_one_sentence(tmp_path: Path, renamed: dict[str, Any]) -> None:
    tags = {"web": "cortex-ops/web:build-1"}
    with pytest.raises(OpsError, match="the engine has no image cortex-ops/web:build-1 although it was just built"):
        made(None, HERE, tags, {"web": said("sha256:1")["api"]}, Layouts(tmp_path, [], []))  # type: ignore[arg-type]
    assert not renamed
