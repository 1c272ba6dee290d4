"""When an object is done, when it is over, and what it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from cortex_ops.targets.kubernetes.kinds import kind_of
from cortex_ops.targets.kubernetes.pods import Budget
from tests.support.cluster_pods import RUNNING, Document, ended, no_node, pod, waiting, workload

BUDGET = Budget(restarts=3)
GOOD = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}


def deployment(spec: Document, status: Document, **more: Any) -> Document:
    return workload("Deployment", {"replicas": 2, **spec}, status, **more)


def asked(live: Document, pods: list[Document] | None = None, **options: Any) -> tuple[bool, str, str]:
    """(done, failed, waits for)."""
    kind, pods = kind_of(live, **options), pods or []
    return kind.done(live, pods), kind.failed(live, pods, BUDGET), kind.waits_for(live, pods)


def test_a_deployment_is_done_when_all_its_pods_are_new_and_available_and_no_other_is_left() -> None:
    assert asked(deployment({}, GOOD)) == (True, "", "")


@pytest.mark.parametrize(
    ("status", "lacks"),
    [
        ({"replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}, "1 of 2 pods are of the new revision"),
        (
            {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3},
            "1 of the old revision have not been replaced",
        ),
        ({"replicas": 2, "updatedReplicas": 2}, "0 of 2 new pods are available"),
        ({}, "0 of 2 pods are of the new revision"),
    ],
)
def test_a_deployment_that_is_under_way_says_how_far(status: Document, lacks: str) -> None:
    assert asked(deployment({}, status)) == (False, "", lacks)


def test_what_was_before_is_neither_success_nor_failure_of_the_change() -> None:
    unseen = deployment({}, {**GOOD, "observedGeneration": 1, "conditions": [LATE]})
    assert asked(unseen, [pod(waiting("InvalidImageName"))]) == (False, "", "its controller has not seen the change")
    never_seen = deployment({}, {}, generation=1)
    del never_seen["status"]
    assert asked(never_seen)[2] == "its controller has not seen the change"


def test_a_deployment_without_progress_in_its_time_failed_and_says_what_its_pods_wait_for() -> None:
    late = deployment({}, {**GOOD, "availableReplicas": 1, "conditions": [LATE]})
    done, failed, _ = asked(late, [pod(RUNNING), no_node("0/1 nodes are available")])
    assert not done
    assert failed == (
        "Deployment api made no progress within 600 s: pod api-7d9f-x has no node: 0/1 nodes are available"
    )
    assert asked(late)[1] == "Deployment api made no progress within 600 s: timed out"


def test_a_doomed_pod_ends_the_wait_at_once() -> None:
    failed = asked(deployment({}, {}), [pod(waiting("InvalidImageName"))])[1]
    assert failed.startswith("Deployment api: container api of pod api-7d9f-x cannot have its image registry.test")


def test_a_deployment_that_may_not_make_pods_fails_at_once() -> None:
    message = 'pods "api-x" is forbidden: exceeded quota: all'
    refused = {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]}
    assert asked(deployment({}, refused))[1] == f"Deployment api may not make pods: {message}"
    # One that ended its own pods first has its share of the quota back in a moment.
    recreated = asked(deployment({"strategy": {"type": "Recreate"}}, refused))
    assert recreated == (False, "", f"0 of 2 pods are of the new revision: {message}")


def test_an_autoscaler_says_how_many_replicas_there_should_be() -> None:
    scaled = {"replicas": 5, "updatedReplicas": 5, "availableReplicas": 5}
    assert asked(deployment({"replicas": 5}, scaled))[0]
    assert not asked(deployment({"replicas": 6}, scaled))[0]


def test_a_deployment_of_no_replicas_is_done_when_the_last_pod_is_gone() -> None:
    assert asked(deployment({"replicas": 0}, {}))[0]
    assert not asked(deployment({"replicas": 0}, {"replicas": 1}))[0]


def test_a_paused_deployment_says_that_it_is() -> None:
    assert asked(deployment({"paused": True}, {}))[2] == (
        "its rollout is paused, and 0 of 2 pods are of the new revision"
    )


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job", "PersistentVolumeClaim", "Service"])
def test_an_object_that_is_deleted_meanwhile_is_an_error(kind: str) -> None:
    live = workload(kind, {"replicas": 0}, {"phase": "Bound"}, deletionTimestamp="2026-01-01T00:00:00Z")
    done, failed, _ = asked(live)
    assert not done
    assert failed == f"{kind} api is being deleted while it is waited for"


def stateful(status: Document, **strategy: Any) -> Document:
    spec = {"replicas": 3, "updateStrategy": {"type": "RollingUpdate", **strategy}}
    revisions = {"updateRevision": "api-2", "currentRevision": "api-1"}
    return workload("StatefulSet", spec, {"readyReplicas": 3, **revisions, **status})


def test_a_stateful_set_is_done_when_its_pods_are_ready_and_its_revisions_agree() -> None:
    assert asked(stateful({"currentRevision": "api-2"})) == (True, "", "")
    assert asked(stateful({"currentRevision": "api-2", "readyReplicas": 2}))[2] == "2 of 3 pods are ready"
    assert asked(stateful({"updatedReplicas": 1}))[2] == "1 of 3 pods are of the new revision"
    assert asked(stateful({"currentRevision": "api-2", "observedGeneration": 1}))[0] is False


def test_a_partition_asks_only_for_the_pods_past_it() -> None:
    part = {"rollingUpdate": {"partition": 2}}
    assert asked(stateful({"updatedReplicas": 1}, **part)) == (True, "", "")
    assert asked(stateful({}, **part))[2] == "0 of 1 pods past its partition are of the new revision"
    assert asked(stateful({}, rollingUpdate={"partition": 7}))[0]
    assert not asked(stateful({"updatedReplicas": 3}, rollingUpdate={"partition": 0}))[0]


def test_a_stateful_set_that_replaces_no_pod_by_itself_waits_for_somebody_to_delete_them() -> None:
    waits = asked(stateful({"updatedReplicas": 1}, type="OnDelete"))[2]
    assert waits == "2 of 3 pods are of an earlier revision until somebody deletes them (OnDelete)"
    assert asked(stateful({"updatedReplicas": 3}, type="OnDelete"))[0]


def test_only_a_new_pod_can_doom_a_stateful_set_and_an_old_one_that_blocks_it_is_named() -> None:
    def broken(revision: str) -> Document:
        return pod(waiting("InvalidImageName"), labels={"controller-revision-hash": revision}, owner="uid-api")

    live = stateful({"readyReplicas": 2})
    assert asked(live, [broken("api-2")])[1].startswith("StatefulSet api: container api of pod")
    _, failed, waits = asked(live, [broken("api-1")])
    assert failed == ""
    assert waits == (
        "2 of 3 pods are ready: pod api-7d9f-x of an earlier revision is not ready and has to be deleted first"
    )


def job(*conditions: str, **status: Any) -> Document:
    reason = {"reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}
    return workload(
        "Job", {}, {"conditions": [{"type": one, "status": "True", **reason} for one in conditions], **status}
    )


def test_a_job_is_done_only_when_it_is_complete() -> None:
    assert asked(job("SuccessCriteriaMet", "Complete")) == (True, "", "")
    assert asked(job("SuccessCriteriaMet"))[0] is False


def test_a_failed_job_says_how_its_container_ended() -> None:
    crashed = pod({"state": ended(3)}, restart="Never", phase="Failed")
    expected = "Job api failed (BackoffLimitExceeded): container api of pod api-7d9f-x ended (exit 3)"
    assert asked(job("FailureTarget", "Failed"), [crashed])[1] == expected
    assert asked(job("FailureTarget"), [crashed])[1] == ""  # its pods have not ended
    assert asked(job("Failed"))[1].endswith(": Job has reached the specified backoff limit")


def test_a_job_tries_again_as_often_as_it_says_itself_but_not_without_an_image() -> None:
    crashed = pod({"state": ended(3)}, restart="Never", phase="Failed")
    assert asked(job(failed=1, active=1), [crashed])[1:] == (
        "",
        "its pod has not ended, and 1 failed before: container api of pod api-7d9f-x has ended (exit 3)",
    )
    assert "registry.test" in asked(job(), [pod(waiting("ErrImagePull", "manifest unknown"), restart="Never")])[1]


def test_a_job_without_pods_says_so() -> None:
    assert asked(job())[2] == "no pod of it was made"
    assert asked(workload("Job", {"suspend": True}, {}))[2] == "it is suspended"


def claim(phase: str, **spec: Any) -> Document:
    return workload("PersistentVolumeClaim", spec, {"phase": phase})


def test_a_claim_is_done_when_it_is_bound_or_will_be_with_its_first_pod() -> None:
    pending = claim("Pending", storageClassName="fast")
    assert asked(claim("Bound"))[0]
    assert asked(pending, binding="WaitForFirstConsumer")[0]
    for binding in ("Immediate", ""):
        lacks = "no volume of storage class 'fast' was bound to it"
        assert asked(pending, binding=binding) == (False, "", lacks)


def test_a_claim_without_a_class_in_a_cluster_without_a_default_one_says_so() -> None:
    assert asked(claim("Pending"))[2] == "it names no storage class, and the cluster has no default one"


def test_a_claim_that_lost_its_volume_failed() -> None:
    lost = claim("Lost", volumeName="pv-1", storageClassName="fast")
    assert asked(lost)[1] == "PersistentVolumeClaim api has lost its volume pv-1"


def test_every_other_kind_is_done_when_it_is_there() -> None:
    assert asked(workload("NetworkPolicy", {}, {})) == (True, "", "")
    foreign = {"apiVersion": "example.com/v1", "kind": "Job", "metadata": {"name": "x"}}
    assert asked(foreign) == (True, "", "")  # of the same name, and of another API


def service(*endpoints: tuple[str, bool | None]) -> tuple[Document, list[Document]]:
    """(it, the namespace's EndpointSlices): each endpoint is a pod's name and whether it is ready."""
    live = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "api"}, "spec": {"selector": {"app": "api"}}}
    found = [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "targetRef": {"name": name, "uid": f"uid-{name}"}}
        for name, ready in endpoints
    ]
    return live, [
        {"metadata": {"labels": {"kubernetes.io/service-name": "api"}}, "endpoints": found},
        {"metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{"addresses": ["10.0.0.2"]}]},
    ]


def test_a_service_is_done_when_it_leads_to_a_pod_that_is_ready() -> None:
    for ready in (True, None):
        live, slices = service(("new", ready))
        assert asked(live, slices=slices) == (True, "", "")
    for endpoints in ([], [("new", False)]):
        live, slices = service(*endpoints)
        assert asked(live, slices=slices) == (False, "", "it leads to no pod that is ready")


def test_a_service_that_still_leads_to_a_pod_that_ends_is_not_done() -> None:
    live, slices = service(("new", True), ("old", True))
    said = "it still leads to pod old, which ends or is gone"
    assert asked(live, slices=slices, ended={"uid-old"}) == (False, "", said)
    live, slices = service(("new", True), ("old", False))
    assert asked(live, slices=slices, ended={"uid-old"})[0], "what is not ready gets no traffic"


def test_a_service_without_a_selector_leads_where_somebody_says() -> None:
    live, _ = service()
    assert asked({**live, "spec": {}}) == (True, "", "")
