"""Which pods are doomed, and what the others wait for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cortex_ops.targets.kubernetes.pods import (
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
from tests.support.cluster_pods import IMAGE, RUNNING, Document, ended, no_node, pod, waiting, workload

CRASHED = "CrashLoopBackOff"
DONE = {"state": ended(0, "Completed")}


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            'rpc error: code = NotFound desc = failed to pull and unpack image "x": failed to resolve reference "x": '
            "x: not found",
            "it is not found",
        ),
        ("reading manifest latest in registry.test/cortex/api: manifest unknown", "it is not found"),
        ("unexpected status from HEAD request to https://registry.test/v2/: 401 Unauthorized", "refuses the pull"),
        ("failed to authorize: failed to fetch oauth token: unexpected status: 403 Forbidden", "refuses the pull"),
        ("pull access denied, repository does not exist or may require authorization", "refuses the pull"),
        ("denied: requested access to the resource is denied", "refuses the pull"),
        ("no match for platform in manifest: not found", "not built for the node's platform"),
        ("http: server gave HTTP response to HTTPS client", "do not speak the same TLS"),
    ],
)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_will_never_come_is_named_with_the_reason(reason: str, message: str, cause: str) -> None:
    said = doomed(pod(waiting(reason, message)), 3)
    assert said.startswith(f"container api of pod api-7d9f-x cannot have its image {IMAGE}: ")
    assert cause in said


@pytest.mark.parametrize(
    "message",
    [
        'Back-off pulling image "registry.test/cortex/api"',
        "failed to do request: dial tcp 10.0.0.9:5000: connect: connection refused",
        "dial tcp: lookup registry.test on 10.0.0.10:53: no such host",
        "unexpected status from HEAD request to https://registry.test/v2/x: 503 Service Unavailable",
        "429 Too Many Requests - toomanyrequests: You have reached your unauthenticated pull rate limit",
        "failed to authorize: failed to fetch anonymous token: net/http: TLS handshake timeout",
        "context deadline exceeded",
        "denied: toomanyrequests: rate limit exceeded",
        "failed to authorize: 401 Unauthorized: auth server: 502 Bad Gateway",
    ],
)
def test_a_registry_that_is_down_or_busy_may_come_back(message: str) -> None:
    assert doomed(pod(waiting("ErrImagePull", message)), 0) == ""


@pytest.mark.parametrize("name", ["timeout", "forbidden", "x509"])
def test_the_name_of_an_image_is_no_cause(name: str) -> None:
    image = f"registry.test/{name}:unauthorized"
    busy = f"failed to pull {image} from https://registry.test/v2/{name}/manifests/unauthorized: connection reset"
    gone = f"failed to resolve reference {image}: not found"
    assert doomed(pod(waiting("ErrImagePull", busy), image=image), 0) == ""
    assert "it is not found" in doomed(pod(waiting("ErrImagePull", gone), image=image), 0)


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull", "ImageInspectError"])
def test_an_image_that_the_node_cannot_use_is_named(reason: str) -> None:
    assert IMAGE in doomed(pod(waiting(reason)), 9)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerConfigError", 'secret "api-0123" not found'),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        ("CreateContainerError", "failed to generate container: no command specified"),
        ("RunContainerError", 'exec: "serve": executable file not found in $PATH: unknown'),
    ],
)
def test_a_container_that_can_never_start_is_doomed_at_once(reason: str, message: str) -> None:
    assert message in doomed(pod(waiting(reason, message)), 9)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"),
        ("CreateContainerError", "context deadline exceeded"),
        ("CreateContainerError", 'failed to reserve container name "api": name "api" is reserved for "1f"'),
        ("ContainerCreating", ""),
        ("PodInitializing", ""),
    ],
)
def test_what_is_only_late_is_not_doomed(reason: str, message: str) -> None:
    assert doomed(pod(waiting(reason, message)), 0) == ""


@pytest.mark.parametrize("reason", ["ContainerCannotRun", "StartError"])
def test_a_program_of_another_platform_is_said_before_it_crashes_again(reason: str) -> None:
    last = ended(128, reason, "failed to create task: exec /app: exec format error")
    said = doomed(pod(waiting(CRASHED, lastState=last, restartCount=1)), 9)
    assert "container api of pod api-7d9f-x: it cannot be started: it is not built for the node's platform" in said
    assert doomed(pod({"state": last}), 9)
    assert doomed(pod({**RUNNING, "lastState": last, "restartCount": 1}), 9) == ""  # it did start after all


def test_crashes_are_forgiven_up_to_the_budget() -> None:
    def crashes(count: int) -> Document:
        return pod(waiting(CRASHED, "back-off", lastState=ended(1), restartCount=count))

    assert doomed(crashes(3), 3) == ""
    assert doomed(crashes(4), 3) == "container api of pod api-7d9f-x keeps crashing (exit 1, 4 restarts)"


def test_restarts_of_before_the_rollout_do_not_count() -> None:
    old = pod(waiting(CRASHED, lastState=ended(1), restartCount=7))
    now = pod(waiting(CRASHED, lastState=ended(1), restartCount=9))
    assert doomed(now, 3, earlier([old])) == ""
    assert "2 restarts" in doomed(now, 1, earlier([old]))


def test_init_containers_count_as_well() -> None:
    assert "container init of pod" in doomed(pod(waiting("PodInitializing"), init=(waiting("InvalidImageName"),)), 3)
    failing = {"state": ended(2), "restartCount": 4}
    said = doomed(pod(waiting("PodInitializing"), init=(failing,)), 3)
    assert said == "container init of pod api-7d9f-x keeps crashing (exit 2, 4 restarts)"


def test_a_container_killed_for_its_memory_says_so_with_its_limit() -> None:
    killed = pod(waiting(CRASHED, lastState=ended(137, "OOMKilled"), restartCount=4))
    assert "it used more memory than its limit of 256Mi" in doomed(killed, 3)


@pytest.mark.parametrize("reason", ["Evicted", "Preempting", "NodeShutdown"])
def test_a_pod_whose_node_took_its_place_away_dooms_nothing(reason: str) -> None:
    lost = pod({"state": ended(137), "restartCount": 9}, phase="Failed", reason=reason)
    assert doomed(lost, 0) == ""
    assert rejected([lost], 0) == ""


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
    ],
)
def test_a_pod_that_is_not_ready_says_what_it_waits_for(one: Document, said: str) -> None:
    assert waits([pod(RUNNING), one]) == said


def test_of_several_ends_the_last_is_told() -> None:
    first = pod({"state": ended(1, at="2026-01-01T00:00:01Z")}, name="a", restart="Never")
    second = pod({"state": ended(3, at="2026-01-01T00:00:09Z")}, name="b", restart="Never")
    assert last_end([second, first]) == "container api of pod b ended (exit 3)"
    assert last_end([pod({"state": ended(0)})]) == ""
