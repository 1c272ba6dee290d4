"""A file that is edited while it is built: nobody knows what is in the image, so it counts as not built."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import RefusedError
from tests.support.tiny import build_images, scratch_project


@pytest.mark.usefixtures("plain_proxy")
def test_an_edit_during_the_build_refuses_it_by_name_and_the_next_one_is_whole(tmp_path: Path) -> None:
    tiny = scratch_project(tmp_path / "project")
    end = threading.Event()

    def edit() -> None:
        number = 0
        while not end.wait(0.02):
            number += 1
            (tiny.monorepo / "api" / "answer.txt").write_text(f"edit {number}")

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        with pytest.raises(
            RefusedError, match=r"files of api changed while they were built: api/answer\.txt → build"
        ):
            build_images(tiny.wire())
    finally:
        end.set()
        editor.join()
    assert tiny.wire().store.list("builds/") == []
    assert set(build_images(tiny.wire()).built) == {"api", "edge"}
