"""What tests of images share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex_ops.images import build


@pytest.fixture
def plain_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's image as one file, where no proxy runs: it needs no base image, no packages and no time."""
    folder = tmp_path / "plain-proxy"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nUSER 1000\n")
    monkeypatch.setattr(build, "PROXY", folder)
