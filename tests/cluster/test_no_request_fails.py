"""Requests from within the cluster, all the while that releases roll, and one that is undone."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.cluster import cluster_project
from tests.support.loader import Loader, build


def test_no_request_fails_while_releases_roll_and_while_one_is_undone(address: str, tmp_path: Path) -> None:
    with cluster_project(tmp_path / "project", address) as tiny:
        tiny.stack({"services": {"api": {"replicas": 2}}})
        tiny.answer("zero")
        assert tiny.release().ok
        loader = Loader(tiny.namespace, tiny.name, build(tmp_path / "loader", address), "http://api:8080")
        try:
            for answer in ("one", "two"):
                tiny.answer(answer)
                assert tiny.release().ok
            tiny.answer("three", expected="something else")
            assert not tiny.release().ok
            seen = loader.seen()
        finally:
            loader.remove()
    assert seen["failed"] == 0, json.dumps(seen)
    assert seen["sent"] > 1000
    assert {"zero", "one", "two", "three"} == set(seen["answers"]), "on a cluster traffic moves before the tests"
