"""What the docker CLI says of images, read as it is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from cortex_ops.adapters.engine_images import LISTINGS, identity, names_in_engine
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import Completed

WENT = "Error response from daemon: failed to calculate size of image docker.io/x:1: rpc error: code = NotFound"


class Answers:
    """An engine whose CLI answers with these, (exit code, stdout, stderr), one after the other."""

    def __init__(self, *answers: tuple[int, str, str]) -> None:
        self.answers = list(answers)
        self.known_id, self.writes_layouts = "", False

    def argv(self, *args: str) -> list[str]:
        return ["docker", *args]

    def run(self, argv: Sequence[str], **_: Any) -> Completed:
        return Completed(tuple(argv), *self.answers.pop(0), seconds=0.0)


def test_a_list_is_asked_for_again_when_an_image_went_while_it_was_made() -> None:
    engine = Answers((1, "", WENT), (1, "", WENT), (0, "sha256:1 x:1\n", ""))
    assert names_in_engine(engine, "a") == [("sha256:1", "x:1")]  # type: ignore[arg-type]


def test_an_engine_that_never_gives_the_list_is_one_sentence() -> None:
    with pytest.raises(OpsError, match=r"the engine refused `image ls --no-trunc`: .*failed to calculate size"):
        names_in_engine(Answers(*[(1, "", WENT)] * (LISTINGS + 1)), "a")  # type: ignore[arg-type]
    with pytest.raises(OpsError, match=r"the engine refused .*: no such flag"):
        names_in_engine(Answers((1, "", "no such flag")), "a")  # type: ignore[arg-type]


CONTAINERD = '[["driver-type","io.containerd.snapshotter.v1"]]'


@pytest.mark.parametrize(
    ("version", "status", "writes"),
    [
        ("26.1.5+dfsg1", CONTAINERD, True),
        ("28.0.0-rc.1", CONTAINERD, True),
        ("25.0.3", CONTAINERD, False),
        ("28.0.0", '[["Backing Filesystem","extfs"],["Using metacopy","false"]]', False),
        ("dev", CONTAINERD, False),
        ("28.0.0", "null", False),
    ],
)
def test_only_a_containerd_store_and_a_builder_with_two_outputs_write_layouts(
    version: str, status: str, writes: bool
) -> None:
    engine = Answers((0, f"ab-12 linux/x86_64 {version} {status}\n", ""))
    assert identity(engine) == ("ab-12", "linux/amd64")  # type: ignore[arg-type]
    assert engine.known_id == "ab-12" and engine.writes_layouts is writes


def test_an_engine_that_is_away_is_no_engine_without_a_name() -> None:
    with pytest.raises(OpsError, match="no such host"):
        identity(Answers((1, " /  null\n", "error: no such host")))  # type: ignore[arg-type]
