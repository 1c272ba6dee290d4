"""Releases whose pods cannot run: each is given up with the pod's own reason, and what ran before runs unharmed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortex_ops import pipeline
from cortex_ops.adapters.cluster import ClusterError
from cortex_ops.kernel.errors import OpsError
from cortex_ops.pipeline.rendering import Renderer
from cortex_ops.targets.kubernetes import rollout
from tests.support.cluster import (
    ClusterTiny,
    Object,
    Unharmed,
    cluster,
    cluster_project,
    kubectl,
    rendered,
    rendered_pod,
    until,
)
from tests.support.engine import docker

DEADLINE = 15
SENTINEL = "sentinel-7c1f6e0a52d94b"
POD = "container api of pod api-"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("bad-pods"), address) as project:
        (project.root / "secrets").mkdir()
        (project.root / "secrets" / "token").write_text(SENTINEL)
        project.stack(
            {
                "secrets": {"token": {"from": "file"}},
                "services": {"api": {"secrets": {"TOKEN_FILE": "token"}}},
                "environments": {"local": {"start_deadline": DEADLINE, "restart_budget": 0}},
            }
        )
        assert project.release().ok
        yield project


def refused(tiny: ClusterTiny, within: float = 50) -> OpsError:
    """The error of a release, after which everything is as it was."""
    before = Unharmed(tiny)
    w = tiny.prepared()
    began = time.monotonic()
    with pytest.raises(OpsError) as caught:
        tiny.deploy(w)
    assert time.monotonic() - began < within
    assert before.left() == []
    said = "\n".join([*caught.value.lines(), *tiny.lines])
    assert SENTINEL not in said and "Traceback" not in said
    assert "\n" not in caught.value.message
    return caught.value


def foreseen(tiny: ClusterTiny) -> list[str]:
    """What is found before anything is changed; a release ends with the first of it and has changed nothing."""
    w = tiny.prepared()
    findings = pipeline.preflight(w, "local")
    seen = _uids(tiny)
    assert findings and refused(tiny, 20).message == findings[0]
    assert _uids(tiny) == seen
    return findings


def _uids(tiny: ClusterTiny) -> list[tuple[str, int]]:
    found = tiny.objects("deployments")
    return [(one["metadata"]["uid"], one["metadata"]["generation"]) for one in found]


def program(text: str) -> Callable[[Object], None]:
    """The service is this script instead."""

    def change(pod: Object) -> None:
        pod["containers"][0]["command"] = ["node", "--input-type=module", "-e", text]

    return change


# -- images --------------------------------------------------------------------------------------------------
def test_an_image_that_is_not_there_is_named(tiny: ClusterTiny, address: str) -> None:
    absent = f"{address}/nothing@sha256:{'1' * 64}"
    with rendered_pod(lambda pod: pod["containers"][0].update(image=absent)):
        said = refused(tiny).message
    assert said.startswith(f"Deployment api: {POD}") and f"cannot have its image {absent}: it is not found" in said


def test_an_image_for_another_kind_of_node_is_found_before_anything_changes(
    tiny: ClusterTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Renderer.place

    def elsewhere(*given: object) -> object:
        placed = place(*given)  # type: ignore[arg-type]
        ref = placed.lock.images["api"].model_copy(update={"platforms": {"linux/riscv64": f"sha256:{'2' * 64}"}})
        lock = placed.lock.model_copy(update={"images": {**placed.lock.images, "api": ref}})
        return placed.model_copy(update={"lock": lock, "identity": f"{placed.identity}-riscv"})

    monkeypatch.setattr(Renderer, "place", elsewhere)
    (said,) = foreseen(tiny)
    assert re.match(
        r"api: its image has linux/riscv64, and there are nodes of linux/(amd64|arm64); build it for", said
    )


def test_an_index_without_the_nodes_platform_is_given_up_with_that_reason(
    tiny: ClusterTiny, address: str, tmp_path: Path
) -> None:
    node = json.loads(kubectl("get", "nodes", "-o", "json"))["items"][0]["status"]["nodeInfo"]["architecture"]
    other = "linux/arm64" if node == "amd64" else "linux/amd64"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    name = f"{address}/elsewhere:{tiny.name}"
    docker("buildx", "build", "--platform", other, "--provenance=true", "-t", name, "--push", str(tmp_path))
    with rendered_pod(lambda pod: pod["containers"][0].update(image=name)):
        said = refused(tiny).message
    assert said.startswith(f"Deployment api: {POD}") and "it is not built for the node's platform" in said


# -- starting ------------------------------------------------------------------------------------------------
def test_a_pod_that_crashes_after_it_was_ready_is_not_promoted_though_the_tests_pass(tiny: ClusterTiny) -> None:
    """It is started again at once and answers again, so only what its node counted tells."""
    before = Unharmed(tiny)
    run = (tiny.monorepo / "tests" / "run.mjs").read_text()
    tiny.write("tests/run.mjs", run.replace("process.exit(", "setTimeout(process.exit, 9000, "))
    try:
        with rendered_pod(program("import '/app/server.mjs'; setTimeout(() => process.exit(5), 9000)")):
            step = tiny.release()
    finally:
        tiny.write("tests/run.mjs", run)
    assert not step.ok
    assert re.search(
        rf"rejected it: {POD}\S+ was ready and has ended \(exit 5.*\) while integration-tests ran", step.message
    )
    assert before.left() == []


def test_an_init_container_that_fails_is_named_with_what_it_said(tiny: ClusterTiny) -> None:
    def before(pod: Object) -> None:
        (main,) = pod["containers"]
        script = "console.error('no map of the stars'); process.exit(7)"
        kept = {key: main[key] for key in ("image", "securityContext", "resources")}
        pod["initContainers"] = [{"name": "navigate", "command": ["node", "-e", script], **kept}]

    with rendered_pod(before):
        error = refused(tiny)
    assert re.match(r"Deployment api: container navigate of pod api-\S+ keeps crashing \(exit 7, ", error.message)
    assert any(line.endswith("no map of the stars") for line in error.details)


def test_a_variable_from_a_secret_that_is_not_there_ends_it_at_once(tiny: ClusterTiny) -> None:
    absent = {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "nobody-made-it", "key": "key"}}}
    with rendered_pod(lambda pod: pod["containers"][0]["env"].append(absent)):
        said = refused(tiny).message
    assert said.startswith(f"Deployment api: {POD}") and 'secret "nobody-made-it" not found' in said


def test_what_no_node_has_room_for_is_said_with_the_schedulers_words(
    tiny: ClusterTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "UNSCHEDULABLE_S", 1.0)

    def huge(pod: Object) -> None:
        for asked in pod["containers"][0]["resources"].values():
            asked["cpu"] = "900"

    with rendered_pod(huge):
        said = refused(tiny).message
    assert re.match(r"Deployment api: pod api-\S+ has no node: .*Insufficient cpu", said)


def test_a_pod_that_never_becomes_ready_ends_at_the_deadline_which_is_named(tiny: ClusterTiny) -> None:
    def deaf(pod: Object) -> None:
        probe = {"tcpSocket": {"port": 9}, "periodSeconds": 2}
        pod["containers"][0]["readinessProbe"] = probe

    with rendered_pod(deaf):
        error = refused(tiny)
    assert error.message.startswith("Deployment api") and f"within {DEADLINE} s" in error.message
    assert re.search(rf"{POD}\S+ runs and is not ready", error.message)
    assert any("Readiness probe failed" in line for line in error.details)


def test_the_last_words_of_a_crash_are_shown_without_secrets_and_without_end(tiny: ClusterTiny) -> None:
    loud = """
import { readFileSync, writeSync } from 'node:fs'
for (let i = 0; i < 20000; i++) writeSync(1, `line ${i} of very many, of which nobody reads the first ones\\n`)
writeSync(1, 'x'.repeat(1000000) + '\\n')
writeSync(1, 'the key ' + readFileSync(process.env.TOKEN_FILE, 'utf8') + ' fits no lock\\n')
process.exit(9)
"""
    with rendered_pod(program(loud)):
        error = refused(tiny)
    assert "exit 9" in error.message
    assert any("the key «redacted» fits no lock" in line for line in error.details)
    assert len(error.details) < 80 and max(map(len, error.details)) < 1000


# -- refusals ------------------------------------------------------------------------------------------------
def test_a_storage_class_that_the_cluster_lacks_is_found_before_anything_changes(tiny: ClusterTiny) -> None:
    claim = {"volumes": [{"path": "/data", "size": "1Gi"}]}
    tiny.stack(
        {"services": {"api": claim}, "environments": {"local": {"kubernetes": {"storage_class": "moon-dust"}}}}
    )
    try:
        (said,) = foreseen(tiny)
    finally:
        tiny.stack({"services": {"api": {"volumes": None}}, "environments": {"local": {"kubernetes": None}}})
    assert said.startswith("storage class moon-dust is not in the cluster; it has ")


def test_a_quota_that_has_no_room_is_named_before_and_while_it_is_met(tiny: ClusterTiny) -> None:
    with quota(tiny, 0):
        (said,) = foreseen_change(tiny)
        assert said == f"ResourceQuota tight of {tiny.namespace} allows 0 of pods, this needs 1"
    with quota(tiny, 1), rendered_pod(program("import '/app/server.mjs'")):
        said = refused(tiny).message  # a pod beside the old one is one too many
    assert said.startswith("Deployment api may not make pods: ") and "exceeded quota: tight" in said


def foreseen_change(tiny: ClusterTiny) -> list[str]:
    with rendered_pod(program("import '/app/server.mjs'")):
        return foreseen(tiny)


@contextmanager
def quota(tiny: ClusterTiny, pods: int) -> Iterator[None]:
    kubectl("-n", tiny.namespace, "create", "quota", "tight", f"--hard=pods={pods}")
    try:
        until("the quota", lambda: tiny.objects("resourcequota")[0].get("status", {}).get("used"), 30)
        yield
    finally:
        kubectl("-n", tiny.namespace, "delete", "quota", "tight")


def test_what_pod_security_forbids_is_said_with_the_rule(tiny: ClusterTiny) -> None:
    with rendered_pod(lambda pod: pod.update(hostNetwork=True)):
        said = refused(tiny).message
    assert said.startswith("Deployment api may not make pods: ") and "violates PodSecurity" in said
    assert "host namespaces (hostNetwork=true)" in said


@pytest.mark.parametrize("resource", ["pods", "deployments"])
def test_what_a_policy_of_the_cluster_forbids_is_said_with_its_words(tiny: ClusterTiny, resource: str) -> None:
    with rendered_pod(program("import '/app/server.mjs'")), forbidding(tiny, resource):
        if resource == "deployments":  # the server itself can be asked beforehand
            (said,) = foreseen(tiny)
            assert said.startswith("Deployment api: the cluster refuses it: ")
        else:
            said = refused(tiny).message
            assert said.startswith("Deployment api may not make pods: ")
    assert "no releases on Fridays" in said


@contextmanager
def forbidding(tiny: ClusterTiny, resource: str) -> Iterator[None]:
    """A policy for this namespace alone."""
    name = f"{tiny.name}-{resource}"
    group = "apps" if resource == "deployments" else ""
    api, metadata = "admissionregistration.k8s.io/v1", {"name": name}
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": tiny.namespace}}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"namespaceSelector": here, "resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "no releases on Fridays"}],
    }
    policy = {"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": metadata, "spec": spec}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": here}}
    binding = {"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": metadata, "spec": bound}
    both = json.dumps({"apiVersion": "v1", "kind": "List", "items": [policy, binding]})
    kubectl("apply", "-f", "-", stdin=both)
    try:
        until("the policy", lambda: _forbidden(tiny, resource), 30)
        yield
    finally:
        kubectl("delete", "-f", "-", stdin=both)
        until("the policy's end", lambda: not _forbidden(tiny, resource), 30)


def _forbidden(tiny: ClusterTiny, resource: str) -> bool:
    """Whether one more like those that run is refused by the policy."""
    (live,) = [one for one in tiny.objects(resource) if not one["metadata"].get("deletionTimestamp")][:1]
    version = "apps/v1" if resource == "deployments" else "v1"
    metadata = {"name": "probe", "namespace": tiny.namespace, "labels": live["metadata"]["labels"]}
    document = {"apiVersion": version, "kind": live["kind"], "metadata": metadata, "spec": live["spec"]}
    folder = cluster().path_of(document).rpartition("/")[0]
    try:
        cluster().request("POST", folder, query={"dryRun": "All"}, body=document)
    except ClusterError as error:
        return "no releases on Fridays" in error.message
    return False


# -- names ---------------------------------------------------------------------------------------------------
def test_an_object_of_somebody_else_that_has_our_name_is_left_alone(tiny: ClusterTiny) -> None:
    kubectl("-n", tiny.namespace, "create", "service", "clusterip", "more", "--tcp=80")
    try:

        def another(documents: list[Object]) -> None:
            (service,) = [one for one in documents if one["kind"] == "Service"]
            documents.append(json.loads(json.dumps(service)))
            documents[-1]["metadata"]["name"] = "more"

        with rendered(another):
            (said,) = foreseen(tiny)
    finally:
        kubectl("-n", tiny.namespace, "delete", "service", "more")
    assert said == f"Service more is there already and is not of {tiny.name}"
