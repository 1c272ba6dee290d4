"""The release transaction on a real cluster: live and tested, or as it was before."""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster
import pytest

from cortex_ops import pipeline
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.targets.kubernetes.target import RUN_LABEL
from tests.support.cluster import ClusterTiny, cluster_project, kubectl, rolled_out, until


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("releases"), address) as project:
        yield project


def test_a_release_is_live_tested_and_recorded_and_the_next_one_has_nothing_to_do(tiny: ClusterTiny) -> None:
    tiny.answer("one")
    step = tiny.release()
    assert step.ok and not step.noop and step.verdict is not None and step.verdict.passed
    assert tiny.get() == "one"
    assert tiny.target().live().release == f"r{step.record.seq}"
    assert step.record.intent.tested_before_traffic is False, "a rolling update gives it traffic before its tests"
    again = tiny.release()
    assert again.ok and again.noop and again.record.seq == step.record.seq


def test_what_would_change_on_the_cluster_is_said_before_it_changes(tiny: ClusterTiny) -> None:
    tiny.answer("said before")
    w = tiny.wire()
    pipeline.build(w, "local")
    said = pipeline.render(w, "local").diff
    assert said.startswith("**1 changed, ") and "~ Deployment api" in said
    assert "spec.template.spec.containers[api].image" in said
    tiny.answer("one")


def test_the_digest_that_was_tested_is_the_digest_that_runs(tiny: ClusterTiny) -> None:
    live = tiny.wire().history("local").live()
    assert live is not None
    ref = live.intent.lock.images["api"]
    digests = {ref.digest, *ref.platforms.values()}
    pods = [pod for pod in tiny.objects("pods") if pod["metadata"]["labels"]["app.kubernetes.io/name"] == "api"]
    assert pods
    for pod in pods:
        assert pod["spec"]["containers"][0]["image"] == ref.reference()
        assert pod["status"]["containerStatuses"][0]["imageID"].rpartition("@")[2] in digests


def test_a_release_that_fails_its_tests_is_undone_wholly(tiny: ClusterTiny) -> None:
    tiny.answer("two", expected="something else")
    tiny.stack({"services": {"more": _another_service(tiny)}})
    try:
        before = tiny.target().live()
        step = tiny.release()
        assert not step.ok and "expected something else, got two" in step.message
        assert tiny.get() == "one"
        assert tiny.target().live() == before
        assert "more" not in tiny.names("deployments") | tiny.names("services") | tiny.names("serviceaccounts")
        placed = tiny.wire().history("local").placed(step.outcome.serves)
        assert placed is not None and tiny.target().drift(placed, step.outcome.serves) == []
    finally:
        tiny.stack({"services": {"more": None}})


def _another_service(tiny: ClusterTiny) -> dict[str, object]:
    return {**tiny.stack()["services"]["api"], "route": None}


def test_what_is_rendered_no_more_is_removed_and_what_is_not_ours_stays(tiny: ClusterTiny) -> None:
    kubectl("-n", tiny.namespace, "create", "configmap", "a-persons-own")
    tiny.answer("three")
    tiny.stack({"services": {"more": _another_service(tiny)}})
    assert tiny.release().ok
    assert "more" in tiny.names("deployments")
    tiny.stack({"services": {"more": None}})
    assert tiny.release().ok
    assert "more" not in tiny.names("deployments") | tiny.names("services") | tiny.names("networkpolicies")
    assert "a-persons-own" in tiny.names("configmaps")
    assert tiny.get() == "three"


def test_a_service_that_crashes_at_its_start_is_given_up_with_its_last_words(tiny: ClusterTiny) -> None:
    before = tiny.get()
    tiny.answer("four", mode="crash")
    w = tiny.prepared()
    began = w.clock.monotonic()
    with pytest.raises(OpsError) as caught:
        tiny.deploy(w)
    assert caught.value.message.startswith("Deployment api: container api of pod api-")
    assert "keeps crashing" in caught.value.message and "exit 3" in caught.value.message
    assert any("cannot find the flux capacitor" in line for line in caught.value.details)
    assert w.clock.monotonic() - began < 45, "two restarts, after ten and twenty seconds of the kubelet's"
    assert tiny.get() == before
    live = w.history("local").live()
    assert live is not None and live.state() == "promoted"


def test_a_rollback_brings_the_earlier_release_back(tiny: ClusterTiny) -> None:
    tiny.answer("five")
    assert tiny.release().ok
    step = pipeline.rollback(tiny.wire(), "local")
    assert step.ok and tiny.get() == "three"
    assert step.record.intent.kind in ("release", "rollback")


# Beside the rendered way of asking, which is what an apply alone would make of it, the server takes no other.
PROBE = {
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "api", "readinessProbe": {"httpGet": None, "exec": {"command": ["true"]}}}]
            }
        }
    }
}


@pytest.mark.parametrize(
    "edit",
    [
        ("set", "env", "deployment/api", "DEBUG=yes"),
        ("patch", "deployment", "api", "-p", json.dumps(PROBE)),
        ("patch", "service", "api", "-p", json.dumps({"spec": {"ports": [{"name": "more", "port": 9}]}})),
        ("set", "resources", "deployment/api", "--limits=memory=200Mi"),
        ("scale", "deployment/api", "--replicas=2"),
        ("delete", "service", "api"),
        ("delete", "networkpolicy", "default-deny"),
        ("delete", "deployment", "api"),
    ],
    ids=lambda edit: " ".join(edit[:2]),
)
def test_what_was_edited_by_hand_is_found_and_put_right(tiny: ClusterTiny, edit: tuple[str, ...]) -> None:
    tiny.answer("edited")
    assert tiny.release().ok
    kubectl("-n", tiny.namespace, *edit)
    live = tiny.wire().history("local").live()
    assert live is not None and live.outcome is not None
    placed = tiny.wire().history("local").placed(live.outcome.serves)
    assert placed is not None
    target = tiny.target()
    assert target.drift(placed, live.outcome.serves), "the edit is seen"
    step = tiny.release()
    assert step.ok and not step.noop
    after = tiny.wire().history("local").placed(step.record.seq)
    assert after is not None and tiny.target().drift(after, step.record.seq) == []
    assert until("an answer", tiny.get) == "edited"


def test_what_stands_beside_a_hand_edit_only_when_it_goes_is_put_right_too(tiny: ClusterTiny) -> None:
    """A budget has one of the two; the other one is rendered."""
    tiny.stack({"services": {"api": {"replicas": 2}}})
    try:
        assert tiny.release().ok
        edit = json.dumps({"spec": {"minAvailable": 0, "maxUnavailable": None}})
        kubectl("-n", tiny.namespace, "patch", "poddisruptionbudget", "api", "--type=merge", "-p", edit)
        assert tiny.release().ok
        (budget,) = tiny.objects("poddisruptionbudgets")
        assert budget["spec"]["maxUnavailable"] == 1 and "minAvailable" not in budget["spec"]
        assert tiny.release().noop
    finally:
        tiny.stack({"services": {"api": {"replicas": None}}})
        assert tiny.release().ok


def test_drift_is_observed_by_every_health_job_and_its_history_is_kept(
    tiny: ClusterTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tiny.root / ".dagster"))
    assert tiny.job("health").returncode == 0
    kubectl("-n", tiny.namespace, "set", "env", "deployment/api", "DEBUG=yes", "LEVEL=all")
    rolled_out(tiny.namespace)
    done = tiny.job("health")
    assert done.returncode != 0 and "Deployment api" in "\n".join(done.stderr.splitlines()[-5:])
    assert tiny.release().ok
    assert tiny.job("health").returncode == 0
    with dagster.DagsterInstance.get() as instance:
        kept = instance.fetch_observations(dagster.AssetKey("drift"), limit=3).records
    seen = [one.asset_observation for one in reversed(kept)]
    assert [one.metadata["differences"].value for one in seen if one] == [0, 2, 0]
    assert "env[DEBUG]" in str(seen[1] and seen[1].metadata["what differs"].value)


def test_where_the_policy_is_to_refuse_a_hand_edit_is_named_and_left(tiny: ClusterTiny) -> None:
    tiny.stack({"environments": {"local": {"drift": "refuse"}}})
    try:
        kubectl("-n", tiny.namespace, "set", "env", "deployment/api", "DEBUG=yes")
        with pytest.raises(RefusedError) as caught:
            tiny.release()
        assert any("env[DEBUG]" in line for line in caught.value.details)
        env = tiny.objects("deployments")[0]["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "DEBUG", "value": "yes"} in env
    finally:
        tiny.stack({"environments": {"local": {"drift": None}}})
        assert tiny.release().ok


def test_a_field_of_another_manager_is_refused_by_name_before_anything_changes(tiny: ClusterTiny) -> None:
    """A controller that scales by its own rule, say: where the policy is to refuse, nothing is taken from it."""
    tiny.stack({"environments": {"local": {"drift": "refuse"}}, "services": {"api": {"replicas": 2}}})
    try:
        patch = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"}, "spec": {"replicas": 1}}
        kubectl(
            *("-n", tiny.namespace, "apply", "--server-side", "--field-manager=somebody", "--force-conflicts"),
            *("-f", "-"),
            stdin=json.dumps(patch),
        )
        w = tiny.prepared()
        findings = pipeline.preflight(w, "local")
        assert len(findings) == 1 and findings[0].startswith("Deployment api: fields of it belong to another manager")
        assert "spec.replicas (somebody)" in findings[0]
    finally:
        tiny.stack({"environments": {"local": {"drift": None}}, "services": {"api": {"replicas": None}}})
        assert tiny.release().ok


def test_a_job_that_an_ended_run_left_goes_with_the_next_release(tiny: ClusterTiny) -> None:
    tiny.answer("before the late job")
    assert tiny.release().ok
    deployment = tiny.objects("deployments")[0]
    labels = {**deployment["metadata"]["labels"], RUN_LABEL: "ended"}
    pod = {**deployment["spec"]["template"]["spec"], "restartPolicy": "Never"}
    for container in pod["containers"]:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(probe, None)
    metadata = {"name": "late", "namespace": tiny.namespace, "labels": labels}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
    kubectl("create", "-f", "-", stdin=json.dumps({**job, "spec": {"suspend": True, "template": {"spec": pod}}}))
    assert tiny.names("jobs") == {"late"}
    tiny.answer("after the late job")
    assert tiny.release().ok
    assert tiny.names("jobs") == set()


def test_a_job_ends_with_the_cause_and_its_exit_code(tiny: ClusterTiny) -> None:
    tiny.answer("six", expected="seven")
    done = tiny.job("release")
    assert done.returncode == 1
    assert "expected seven, got six" in "\n".join(done.stderr.splitlines()[-5:])
    tiny.answer("six")
    done = tiny.job("release")
    assert done.returncode == 0, done.stderr
    assert tiny.get() == "six"
