"""Parts of the cluster that stop in the middle of a release; only on a cluster of our own making."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from cortex_ops.kernel.errors import OpsError
from cortex_ops.results import ReleaseStep
from deploy.setup.cluster.node import Node
from tests.support.cluster import ClusterTiny, cluster_project, own_node, until


@pytest.fixture(scope="module")
def node() -> Node:
    found = own_node()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("daemons"), address) as project:
        # Controllers that lost their server ask again after up to a minute.
        project.stack({"environments": {"local": {"start_deadline": 180}}})
        project.answer("before")
        assert project.release().ok
        yield project
    # What watches the server (names, policies, services) asks it again after up to a minute, and knows no new
    # namespace until then. Who comes next is to find a cluster that works.
    with cluster_project(tmp_path_factory.mktemp("after"), address) as another:
        until("a release into a new namespace", lambda: released(another), 150)


def released(project: ClusterTiny) -> bool:
    try:
        return project.release().ok
    except OpsError:
        return False


def test_an_api_server_that_is_away_for_twenty_seconds_is_waited_for(tiny: ClusterTiny, node: Node) -> None:
    tiny.answer("after the server came back")
    w = tiny.prepared()
    ended: list[ReleaseStep | BaseException] = []

    def deploy() -> None:
        try:
            ended.append(tiny.deploy(w))
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=deploy)
    thread.start()
    until("the rollout", lambda: any("· starting release" in line for line in tiny.lines), 30)
    node.api_server().stop()
    try:
        time.sleep(20)
        assert not ended, "it waits"
    finally:
        node.api_server().start(lambda: node.get("/readyz") is not None, deadline=60)
    thread.join(200)
    (step,) = ended
    assert isinstance(step, ReleaseStep) and step.ok, step
    assert until("an answer", tiny.get) == "after the server came back"


def test_where_no_pod_can_start_the_release_ends_at_its_deadline_and_the_old_one_serves(
    tiny: ClusterTiny, node: Node
) -> None:
    serves, before = tiny.get(), tiny.target().live()
    tiny.stack({"environments": {"local": {"start_deadline": 12}}})
    tiny.answer("no kubelet starts this")
    w = tiny.prepared()
    node.kubelet().stop()
    try:
        began = time.monotonic()
        said = r"^Deployment api: .* node cortex-node has not begun with pod \S+; not ready within 12 s"
        with pytest.raises(OpsError, match=said) as caught:
            tiny.deploy(w)
        assert time.monotonic() - began < 30, "nodes that do not answer are not waited for to say more"
        assert caught.value.exit_code == 4
        assert tiny.get() == serves and tiny.target().live() == before
    finally:
        node.kubelet().start(node.kubelet().running)
    tiny.stack({"environments": {"local": {"start_deadline": 60}}})
    tiny.answer("the kubelet is back")
    until("a node that is ready", node.ready, 60)
    assert tiny.release().ok
    assert until("an answer", tiny.get) == "the kubelet is back"
