"""Upkeep removes built images that nothing needs, and never one that a release or another checkout may need."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from cortex_ops import pipeline
from cortex_ops.cli.main import main
from cortex_ops.kernel.values import Placement
from cortex_ops.release.records import Intent, Outcome
from tests.support.engine import docker
from tests.support.tiny import Tiny, build_images, scratch_project, tiny_project


def built(tiny: Tiny, text: str) -> pipeline.Inputs:
    tiny.answer(text)
    w = tiny.wire()
    pipeline.build(w, "local")
    return pipeline.read_inputs(w)


def api(inputs: pipeline.Inputs) -> str:
    return inputs.lock.images["api"].reference()


def promoted_elsewhere(tiny: Tiny, inputs: pipeline.Inputs) -> None:
    """A release of an environment that the stack file does not have any more."""
    history = tiny.wire().history("retired")
    intent = history.begin(
        lambda seq: Intent(
            environment="retired",
            seq=seq,
            kind="release",
            run_id="x",
            actor="x",
            started_at="",
            revision="",
            dirty=False,
            identity="",
            placement=Placement(seq=seq, slot="a"),
            previous=0,
            lock=inputs.lock,
            secret_versions={},
        )
    )
    history.finish(intent.seq, Outcome(state="promoted", serves=intent.seq, finished_at="", seconds=1))


def exists(reference: str) -> bool:
    return docker("image", "inspect", "-f", "{{.Id}}", reference, check=False) != ""


def test_upkeep_removes_what_is_old_and_unneeded_and_nothing_of_a_release_or_another_checkout(
    tmp_path: Path,
) -> None:
    with tiny_project(tmp_path / "one") as tiny:
        tiny.stack({"retention": {"releases": 1, "unused": "1s"}})
        released = {}
        for text in ("first", "live"):
            tiny.answer(text)
            step = tiny.release()
            assert step.ok and step.record is not None
            released[text] = step.record.intent.lock.images["api"].reference()
        elsewhere = built(tiny, "elsewhere")
        promoted_elsewhere(tiny, elsewhere)
        unreleased = [api(built(tiny, "a"))]
        other = Tiny(tmp_path / "two", tiny.name, tiny.port)
        shutil.copytree(tiny.root, other.root, symlinks=True)
        shutil.rmtree(other.root / ".cortex" / "store")
        theirs = [api(built(other, text)) for text in ("only theirs", "a")]
        unreleased += [api(built(tiny, text)) for text in ("b", "c")]
        assert theirs[1] == unreleased[0], "both checkouts have the same image"

        time.sleep(1.1)
        step = pipeline.upkeep(tiny.wire(), "local")
        assert step.problems == ()
        assert exists(released["live"]) and tiny.get() == "live"
        assert exists(api(elsewhere)), "a release of any environment keeps its images"
        assert [exists(one) for one in unreleased] == [True, True, True], (
            "the newest two stay, the other is theirs too"
        )
        assert not exists(released["first"]), "its bake is over and one release is retained"
        assert all(exists(one) for one in theirs)
        remaining = {one.image.image_id for one in pipeline.image_table(tiny.wire())}
        assert remaining.isdisjoint({unreleased[0], released["first"]}), "our names for them are gone"
        gone = [line for line in step.removed if line.startswith("image cortex-ops/api:keep-")]
        assert len(gone) == 2 and all("no retained release names it" in line for line in gone)

        assert pipeline.upkeep(tiny.wire(), "local").removed == (), "a second time there is nothing to do"
        again = tiny.release()
        assert again.ok and tiny.get() == "c"
        other.remove_images()


@pytest.mark.usefixtures("plain_proxy")
def test_the_table_is_shown_before_and_taking_everything_down_removes_this_checkouts_names_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = scratch_project(tmp_path)
    for name, value in tiny.environ().items():
        monkeypatch.setenv(name, value)
    image = build_images(tiny.wire()).lock.images["api"].reference()
    kept = f"cortex-ops/api:keep-{image.removeprefix('sha256:')[:16]}"
    docker("tag", image, f"{kept}-theirs00")
    try:
        assert main(["images", "list"]) == 0
        lines = capsys.readouterr().out.splitlines()
        (mine,) = [line for line in lines if kept in line]
        assert mine.startswith("kept") and mine.endswith("one of the 2 newest of api")
        assert len(lines) == 2, "the service and the proxy of this checkout"
        assert main(["down", "--purge"]) == 0
        assert docker("image", "inspect", "-f", "{{.RepoTags}}", image) == f"[{kept}-theirs00]"
    finally:
        docker("image", "rm", f"{kept}-theirs00")
    assert not exists(image)
