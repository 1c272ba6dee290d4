"""While releases roll, break and are rolled back, users notice nothing. The long run is in `make bench`."""

from __future__ import annotations

from pathlib import Path

from cortex_ops import pipeline
from tests.support.load import under_load
from tests.support.tiny import tiny_project


def test_no_request_fails_while_releases_are_promoted_rejected_and_rolled_back(tmp_path: Path) -> None:
    with tiny_project(tmp_path) as tiny:
        assert tiny.release().ok
        with under_load(tiny.port) as load:
            tiny.answer("two")
            assert tiny.release().ok
            tiny.answer("broken", expected="something else")
            assert not tiny.release().ok
            tiny.answer("three")
            assert tiny.release().ok
            assert pipeline.rollback(tiny.wire(), "local").ok
        assert load.failures == []
        assert load.sent > 500
        assert set(load.answers) == {"one", "two", "three"}, "the rejected release never got a request"
