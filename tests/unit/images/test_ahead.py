"""Layers are judged while a build goes on: as it writes them, or once the engine has all images."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cortex_ops.adapters import engine_images
from cortex_ops.images import policy
from cortex_ops.images.ahead import reading_ahead, reading_layouts
from cortex_ops.images.layers import Layouts
from cortex_ops.images.plan import Buildable
from cortex_ops.images.policy import judge_images, known_layers, read_layouts
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.progress import SILENT
from cortex_ops.kernel.values import ImageRef
from tests.support.archives import image, tar
from tests.support.stand_in_target import MemoryStore


def holding(monkeypatch: pytest.MonkeyPatch, saved_tags: list[str]) -> tuple[str, list[list[str]]]:
    """An engine that holds one image under each tag: (its id, what it was asked to save)."""
    identity, archive = image(tar({"app/.env": b"X=1"}))
    asked: list[list[str]] = []

    @contextmanager
    def saved(_engine: object, references: list[str]) -> Iterator[io.BytesIO]:
        asked.append(references)
        yield io.BytesIO(archive)

    monkeypatch.setattr(engine_images, "saved", saved)
    monkeypatch.setattr(
        engine_images, "inspect", lambda _e, tags: {t: {"Id": identity} for t in saved_tags if t in tags}
    )
    return identity, asked


def test_layers_are_read_while_a_build_goes_on_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    identity, asked = holding(monkeypatch, ["api:1"])
    store = MemoryStore()
    with reading_ahead(None, store, ["api:1"]) as named:  # type: ignore[arg-type]
        named("another:1")
        named("api:1")
    assert asked == [[identity]]
    one = Buildable(name="api", context=Path(), dockerfile="Dockerfile")
    ref = ImageRef(fingerprint="f", image_id=identity, engine_id="e", user="1000")
    (found,) = judge_images(None, store, {one: ref}, SILENT)["api"]  # type: ignore[arg-type]
    assert found.message == "a layer holds app/.env, which looks like a secret" and len(asked) == 1


def test_nothing_is_read_ahead_of_a_build_that_fails_before_its_images_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, asked = holding(monkeypatch, ["api:1"])
    with (
        pytest.raises(OpsError, match="failed"),
        reading_ahead(None, MemoryStore(), ["api:1", "web:1"]) as named,  # type: ignore[arg-type]
    ):
        named("api:1")
        raise OpsError("building web failed")
    assert asked == []


def test_what_cannot_be_read_ahead_is_left_to_the_judging(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OpsError("the engine is away")

    monkeypatch.setattr(engine_images, "inspect", away)
    store = MemoryStore()
    with reading_ahead(None, store, ["api:1"]) as named:  # type: ignore[arg-type]
        named("api:1")
    assert store.objects == {}


API = Buildable(name="api", context=Path(), dockerfile="Dockerfile")
SECRET = "a layer holds app/.env, which looks like a secret"
UNPACKED = ("sha256:d1",)


class Builder:
    """Writes layouts as a builder does: files by their digest, read-only, none that is there already."""

    def __init__(self, folder: Path, name: str = "api") -> None:
        self.folder = folder / name
        self.blobs = self.folder / "blobs" / "sha256"
        self.sent: list[str] = []

    def write(self, *layers: bytes, config: dict[str, Any] | None = None) -> None:
        document = {"config": {}, "history": [], "rootfs": {"diff_ids": list(UNPACKED)}, **(config or {})}
        manifest = {
            "config": {"digest": self._put(json.dumps(document).encode())},
            "layers": [{"digest": self._put(layer)} for layer in layers],
        }
        index = {"manifests": [{"digest": self._put(json.dumps(manifest).encode())}]}
        (self.folder / "index.json").write_text(json.dumps(index))

    def _put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        if not (self.blobs / digest).exists():
            self.sent.append(digest)
            (self.blobs / digest).write_bytes(data)
            (self.blobs / digest).chmod(0o444)
        return f"sha256:{digest}"


def judged(store: MemoryStore, reference: str = "sha256:image") -> list[str]:
    """What `judge_images` says without an engine to ask."""
    ref = ImageRef(fingerprint="f", image_id=reference, engine_id="e", user="1000")
    found = judge_images(None, store, {API: ref}, SILENT)  # type: ignore[arg-type]
    return [one.message for one in found["api"]]


def test_what_a_build_writes_is_judged_without_asking_the_engine(tmp_path: Path) -> None:
    store, layouts = MemoryStore(), Layouts(tmp_path, ["api"], [])
    layer = gzip.compress(tar({"app/.env": b"X=1"}))
    with reading_layouts(store, layouts):
        config = {"history": [{"created_by": "RUN TOKEN=abcdefgh1234 npm ci"}]}
        Builder(tmp_path).write(layer, config=config)
    read_layouts(store, layouts, {"api": ("sha256:image", UNPACKED)})
    assert judged(store) == ["its history shows a value for TOKEN", SECRET]


def test_a_layer_that_was_judged_is_not_sent_again_and_its_finding_still_counts(tmp_path: Path) -> None:
    store = MemoryStore()
    layer = gzip.compress(tar({"app/.env": b"X=1"}))
    first = Layouts(tmp_path / "1", ["api"], known_layers(store))
    Builder(tmp_path / "1").write(layer)
    read_layouts(store, first, {"api": ("sha256:image", UNPACKED)})
    second = Layouts(tmp_path / "2", ["api", "web"], known_layers(store))
    builder = Builder(tmp_path / "2")
    builder.write(layer, gzip.compress(tar({"app/b": b"2"})))
    assert hashlib.sha256(layer).hexdigest() not in builder.sent and len(builder.sent) == 3
    assert Builder(tmp_path / "2", "web").blobs.samefile(builder.blobs), "nor for another image"
    read_layouts(store, second, {"api": ("sha256:other", UNPACKED)})
    assert judged(store, "sha256:other") == [SECRET]


def test_a_read_layer_gives_its_place_back_and_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, layouts = MemoryStore(), Layouts(tmp_path, ["api"], [])
    builder = Builder(tmp_path)
    builder.write(gzip.compress(tar({"app/a": b"1" * 5000})))
    policy.read_layers(store, layouts)
    assert [path.stat().st_size for path in builder.blobs.iterdir() if path.read_bytes()[:1] != b"{"] == [0]
    monkeypatch.setattr(policy, "_read_layer", lambda blob: pytest.fail("read again"))
    read_layouts(store, layouts, {"api": ("sha256:image", UNPACKED)})
    assert judged(store) == []


def left_to_the_engine(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> bool:
    asked = []

    def saved(*_: object) -> None:
        asked.append(True)
        raise OpsError("asked")

    monkeypatch.setattr(engine_images, "inspect", lambda *_: {"sha256:image": {}})
    monkeypatch.setattr(engine_images, "saved", saved)
    with pytest.raises(OpsError, match="asked"):
        judged(store)
    return bool(asked)


@pytest.mark.parametrize("wrong", ["other layers", "no manifest", "a broken layer", "no layer"])
def test_what_is_not_all_there_or_not_the_engines_image_is_asked_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    store, layouts = MemoryStore(), Layouts(tmp_path, ["api"], [])
    layer = gzip.compress(tar({"app/a": b"1" * 5000}))
    builder = Builder(tmp_path)
    builder.write(layer[:-40] if wrong == "a broken layer" else layer)
    if wrong == "no layer":
        (builder.blobs / hashlib.sha256(layer).hexdigest()).unlink()
    unpacked = ("sha256:d2",) if wrong == "other layers" else UNPACKED
    with reading_layouts(store, layouts):
        pass
    if wrong == "no manifest":
        (tmp_path / "api" / "index.json").unlink()
    read_layouts(store, layouts, {"api": ("sha256:image", unpacked)})
    assert left_to_the_engine(store, monkeypatch)


def test_a_build_that_fails_is_not_waited_for(tmp_path: Path) -> None:
    with (
        pytest.raises(OpsError, match="building api failed"),
        reading_layouts(MemoryStore(), Layouts(tmp_path, ["api"], [])),
    ):
        raise OpsError("building api failed")
