"""Which pods count, which were refused, and what the others wait for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cortex_ops.targets.kubernetes.pods import (
    crashed,
    doomed,
    earlier,
    last_end,
    newest,
    rejected,
    replica_failure,
    stuck,
    unschedulable,
    waits,
)
from tests.support.cluster_pods import RUNNING, Document, ended, no_node, pod, waiting, workload

CRASHED = "CrashLoopBackOff"
DONE = {"state": ended(0, "Completed")}


def test_a_pod_on_its_way_out_dooms_nothing() -> None:
    leaving = pod(waiting("InvalidImageName"))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert doomed(leaving, 0) == ""


def test_nodes_may_reject_as_many_pods_as_the_budget_says() -> None:
    def refused(number: int) -> Document:
        return pod(
            name=f"api-{number}", phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource"
        )

    pods = [refused(number) for number in range(3)]
    assert rejected(pods, 3) == ""
    assert rejected(pods[:1], 0).startswith("pod api-0 was rejected (OutOfcpu: ")
    said = rejected(pods, 2)
    assert said.startswith("pod api-2 was rejected, and 2 before it (OutOfcpu: Node didn't have enough resource")
    assert rejected(pods, 2, earlier(pods[:1])) == ""


def test_a_pod_without_a_node_waits_for_its_grace_and_says_why() -> None:
    pending = no_node("0/3 nodes are available: 3 Insufficient memory.", since="2026-01-01T00:00:00Z")
    why = "pod api-7d9f-x has no node: 0/3 nodes are available: 3 Insufficient memory."
    assert unschedulable(pending) == why
    assert waits([pending]) == why
    assert doomed(pending, 0) == ""
    soon, late = datetime(2026, 1, 1, 0, 0, 20, tzinfo=UTC), datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert unschedulable(pending, grace=30, now=soon) == ""
    assert unschedulable(pending, grace=30, now=late) == why


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ('pods "api-x" is forbidden: exceeded quota: all, requested: memory=1Gi, used: memory=4Gi', True),
        ('pods "api-x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true', True),
        ('admission webhook "policy.example" denied the request: no latest tags', True),
        (
            'pods "api-x" is forbidden: error looking up service account shop/api: serviceaccount "api" not found',
            False,
        ),
        ('Internal error occurred: failed calling webhook "x": connection refused', False),
    ],
)
def test_pods_that_are_not_admitted_are_a_failure_unless_the_next_try_may_be(message: str, final: bool) -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    said = replica_failure(workload("ReplicaSet", {}, {"conditions": [condition]}))
    assert said == (f"ReplicaSet api may not make pods: {message}" if final else "")


def test_only_pods_of_the_newest_revision_count() -> None:
    revision = {"annotations": {"deployment.kubernetes.io/revision": "3"}}
    deployment = workload("Deployment", {}, {}, **revision)

    def replica_set(number: str, template: str, owner: str = "uid-api") -> Document:
        one = workload("ReplicaSet", {}, {}, annotations={"deployment.kubernetes.io/revision": number})
        one["metadata"] |= {"labels": {"pod-template-hash": template}, "ownerReferences": [{"uid": owner}]}
        return one

    pods = [pod(name=name, labels={"pod-template-hash": name}) for name in ("old", "new", "other")]
    sets = [replica_set("3", "other", owner="uid-web"), replica_set("2", "old"), replica_set("3", "new")]
    assert newest(deployment, pods, sets) == [pods[1]]
    assert newest(deployment, pods, sets[:2]) == []  # the newest is not seen yet
    for one in (deployment, *sets):
        one["metadata"]["annotations"] = {}
    assert newest(deployment, pods, sets) == []


def test_a_stateful_set_says_itself_which_revision_is_the_newest() -> None:
    live = workload("StatefulSet", {}, {"updateRevision": "db-2", "currentRevision": "db-1"})
    old, new = (pod(name=f"api-{n}", labels={"controller-revision-hash": f"db-{n}"}, owner="uid-api") for n in (1, 2))
    assert newest(live, [old, new]) == [new]
    assert newest(workload("StatefulSet", {}, {}), [old, new]) == []


def test_all_pods_of_a_job_are_its_newest() -> None:
    job = workload("Job", {}, {})
    mine, other, leaving = (
        pod(name="a", owner="uid-api"),
        pod(name="b", owner="uid-web"),
        pod(name="c", owner="uid-api"),
    )
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert newest(job, [leaving, other, mine]) == [mine]


def test_a_broken_pod_of_an_earlier_revision_blocks_a_stateful_set() -> None:
    live = workload("StatefulSet", {}, {"updateRevision": "db-2", "currentRevision": "db-1"})
    broken = pod(waiting(CRASHED), labels={"controller-revision-hash": "db-1"}, owner="uid-api")
    sound = pod(RUNNING, name="api-0", labels={"controller-revision-hash": "db-1"}, owner="uid-api")
    assert stuck(live, [sound, broken]) == [broken]
    live["metadata"]["generation"] += 1
    assert stuck(live, [sound, broken]) == []


def on_node(one: Document) -> Document:
    """Given to a node, which has said that it does not answer where a later condition says so."""
    conditions = {each["type"]: each for each in one["status"]["conditions"]}
    status = {**one["status"], "conditions": list(conditions.values())}
    return {**one, "spec": {**one["spec"], "nodeName": "n1"}, "status": status}


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (pod(RUNNING), ""),
        (
            pod(waiting("ErrImagePull", "connection refused")),
            "container api of pod api-7d9f-x waits: ErrImagePull: connection refused",
        ),
        (
            pod(waiting(CRASHED, lastState=ended(1), restartCount=1)),
            "container api of pod api-7d9f-x waits: CrashLoopBackOff (exit 1)",
        ),
        (
            pod({"state": {"running": {}}, "started": False}),
            "container api of pod api-7d9f-x runs and has not passed its startup probe",
        ),
        (
            pod({"state": {"running": {}}, "started": True}, init=(DONE,)),
            "container api of pod api-7d9f-x runs and is not ready",
        ),
        (
            pod(waiting("PodInitializing"), init=({"state": {"running": {}}},)),
            "init container init of pod api-7d9f-x has not ended",
        ),
        (pod(phase="Failed", reason="NodeAffinity"), "pod api-7d9f-x has ended: NodeAffinity"),
        (pod(), "pod api-7d9f-x is Pending"),
        (on_node(pod()), "node n1 has not begun with pod api-7d9f-x"),
        (
            on_node(pod(RUNNING, conditions=[{"type": "Ready", "status": "False", "reason": "NodeLost"}])),
            "pod api-7d9f-x runs and counts as not ready: does its node n1 answer?",
        ),
    ],
)
def test_a_pod_that_is_not_ready_says_what_it_waits_for(one: Document, said: str) -> None:
    assert waits([pod(RUNNING), one]) == said


def test_of_several_ends_the_last_is_told() -> None:
    first = pod({"state": ended(1, at="2026-01-01T00:00:01Z")}, name="a", restart="Never")
    second = pod({"state": ended(3, at="2026-01-01T00:00:09Z")}, name="b", restart="Never")
    assert last_end([second, first]) == "container api of pod b ended (exit 3)"
    assert last_end([pod({"state": ended(0)})]) == ""


def restarted(times: int, **more: object) -> Document:
    return pod({**RUNNING, "restartCount": times, "lastState": ended(5)}, **more)  # type: ignore[arg-type]


def test_what_was_ready_may_not_end_even_once() -> None:
    before = earlier([restarted(2)])
    assert crashed([restarted(2)], before, 9) == ""
    said = crashed([restarted(3)], before, 9)
    assert said == "container api of pod api-7d9f-x was ready and has ended (exit 5)"
    assert crashed([restarted(5)], before, 9).endswith("(exit 5, 3 times)")


def test_a_pod_that_was_made_meanwhile_is_in_its_start_and_has_its_budget() -> None:
    new = restarted(2, name="api-7d9f-y")
    before = earlier([pod(RUNNING)])
    assert crashed([new], before, 2) == ""
    assert "pod api-7d9f-y" in crashed([new], before, 1)


def test_a_pod_that_its_node_ends_has_not_crashed() -> None:
    evicted = restarted(1, reason="Evicted")
    leaving = restarted(1)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert crashed([evicted, leaving], earlier([pod(RUNNING)]), 0) == ""
