"""Production on a cluster takes what another environment of it proved, and never builds."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cortex_ops.kernel.errors import RefusedError
from tests.support.cluster import ClusterTiny, cluster_project, kubectl
from tests.support.tiny import commit

PRODUCTION = {"target": "kubernetes", "protected": True, "from": "local", "start_deadline": 60}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("promotion"), address) as project:
        project.stack({"environments": {"production": PRODUCTION}})
        yield project


def test_nothing_goes_to_production_before_another_environment_has_passed(tiny: ClusterTiny) -> None:
    with pytest.raises(RefusedError, match="local has promoted nothing yet"):
        tiny.release("production")
    tiny.answer("rejected", expected="something else")
    commit(tiny)
    assert not tiny.release().ok
    with pytest.raises(RefusedError, match="release 1 of local was not promoted"):
        tiny.release("production", from_ref="local@1")
    assert "production" not in kubectl("get", "namespaces", "-o", "name")


def test_production_gets_the_digests_that_passed_and_the_record_says_from_where(tiny: ClusterTiny) -> None:
    tiny.answer("proven")
    commit(tiny)
    proven = tiny.release()
    assert proven.ok
    tiny.write("api/server.mjs", "this would not even parse (\n")
    step = tiny.release("production")
    assert step.ok, step.message
    assert step.record.intent.lock == proven.record.intent.lock
    assert step.record.intent.promoted_from == f"local@{proven.record.seq}"
    space = f"{tiny.name}-production"
    (deployment,) = json.loads(kubectl("-n", space, "get", "deployments", "-o", "json"))["items"]
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == proven.record.intent.lock.images["api"].reference()
    assert tiny.release("production").noop
