"""Compose files and manifests of one model describe one system; what is changed in either is found."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cortex_ops.kernel.values import Bundle
from cortex_ops.render.compose import render_compose
from cortex_ops.render.equivalence import differences
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.kubernetes.policy import judge
from cortex_ops.render.yaml_output import to_yaml
from tests.support.cluster_inputs import Change, Document, inputs

Damage = Callable[[Document], Any]


def found(*changes: Change) -> list[str]:
    given = inputs(*changes)
    return [one.line() for one in differences(given, render_compose(given), render_kubernetes(given))]


def test_the_sample_is_the_same_system_in_both() -> None:
    assert found() == []


@settings(max_examples=40, deadline=None)
@given(
    value=st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), max_size=20).filter(
        lambda t: "${" not in t
    ),
    memory=st.sampled_from(["64Mi", "1Gi"]),
    cores=st.sampled_from(["250m", "1", "1500m", "2.5"]),
    replicas=st.integers(1, 5),
)
def test_whatever_a_service_is_given_both_give_it(value: str, memory: str, cores: str, replicas: int) -> None:
    def change(document: Document) -> None:
        api = document["services"]["api"]
        api["env"]["ODD"] = value
        api["resources"] = {"cpu": cores, "memory": memory}
        api["writable"] = ["/tmp", "/var/cache"]
        document["environments"]["local"]["overrides"]["api"] = {"replicas": replicas}

    assert found(change) == []


def damaged(file: str, kind: str, damage: Damage) -> Bundle:
    bundle = render_kubernetes(inputs())
    documents = list(yaml.safe_load_all(bundle.files[file]))
    for one in documents:
        if one["kind"] == kind:
            damage(one)
    return bundle.model_copy(
        update={"files": {**bundle.files, file: "---\n".join(to_yaml(one) for one in documents)}}
    )


def container(document: Document) -> Document:
    return dict_of(document["spec"]["template"]["spec"]["containers"][0])


def dict_of(value: Any) -> Document:
    assert isinstance(value, dict)
    return value


DIFFERENT: dict[str, tuple[Damage, str]] = {
    "another image": (lambda d: container(d).update(image="x@sha256:" + "b" * 64), "api: image: expected"),
    "a variable less": (lambda d: container(d)["env"].pop(0), "api: environment: expected"),
    "more memory": (lambda d: container(d)["resources"]["limits"].update(memory="1"), "api: memory: expected"),
    "more cores": (lambda d: container(d)["resources"]["limits"].update(cpu="2"), "api: cores: expected"),
    "another user": (lambda d: d["spec"]["template"]["spec"]["securityContext"].update(runAsUser=7), "api: user: "),
    "more replicas": (lambda d: d["spec"].update(replicas=9), "api: replicas: expected 1, found 9"),
    "no writable path": (lambda d: container(d)["volumeMounts"].pop(), "api: writable: expected ['/tmp'], found []"),
    "no secrets": (lambda d: container(d)["volumeMounts"].pop(0), "api: mounts: expected ['/run/secrets'], found []"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_difference_is_named_with_both_sides(what: str) -> None:
    damage, sentence = DIFFERENT[what]
    given = inputs()
    (one,) = differences(given, render_compose(given), damaged("40-api.yaml", "Deployment", damage))
    assert one.line().startswith(sentence)


def test_a_service_that_is_in_one_rendering_only_is_named() -> None:
    given, bundle = inputs(), render_kubernetes(inputs())
    less = bundle.model_copy(update={"files": {k: v for k, v in bundle.files.items() if k != "40-agents.yaml"}})
    (one,) = differences(given, render_compose(given), less)
    assert one.line() == "agents: presence: expected 'in both', found 'in the compose files only'"


# -- what may be applied -----------------------------------------------------------------------------------------


def test_what_is_rendered_for_the_sample_may_be_applied() -> None:
    assert judge(render_kubernetes(inputs()).files) == []


def pod(document: Document) -> Document:
    return dict_of(document["spec"]["template"]["spec"])


REFUSED: dict[str, tuple[Damage, str]] = {
    "a tag": (
        lambda d: container(d).update(image="registry.test/api:1"),
        "names its image by something that can move",
    ),
    "root": (lambda d: pod(d)["securityContext"].update(runAsUser=0), "it may run as root"),
    "perhaps root": (lambda d: pod(d)["securityContext"].pop("runAsNonRoot"), "it may run as root"),
    "no seccomp": (lambda d: pod(d)["securityContext"].pop("seccompProfile"), "it has no seccomp profile"),
    "a token": (lambda d: pod(d).pop("automountServiceAccountToken"), "automountServiceAccountToken is not false"),
    "the node's network": (lambda d: pod(d).update(hostNetwork=True), "hostNetwork shares the node's own"),
    "the node's folder": (
        lambda d: pod(d)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "volume x is a hostPath",
    ),
    "privileged": (lambda d: container(d)["securityContext"].update(privileged=True), "container api is privileged"),
    "more privileges": (
        lambda d: container(d)["securityContext"].pop("allowPrivilegeEscalation"),
        "may gain privileges",
    ),
    "capabilities": (
        lambda d: container(d)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
        "keeps capabilities",
    ),
    "a writable root": (
        lambda d: container(d)["securityContext"].update(readOnlyRootFilesystem=False),
        "may write to its own image",
    ),
    "a port of the node": (lambda d: container(d)["ports"][0].update(hostPort=80), "takes a port of the node"),
    "no limit": (
        lambda d: container(d)["resources"]["limits"].pop("memory"),
        "has no limits of processor and memory",
    ),
    "an unknown key": (
        lambda d: pod(d).update(hostnetwork=True),
        "spec.template.spec.hostnetwork: found an unknown key",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_may_not_be_applied_with(what: str) -> None:
    damage, sentence = REFUSED[what]
    (one,) = judge(damaged("40-api.yaml", "Deployment", damage).files)
    assert one.startswith("40-api.yaml: Deployment api: ") and sentence in one


def test_without_the_policy_that_closes_everything_nothing_may_be_applied() -> None:
    def opened(document: Document) -> None:
        if document["metadata"]["name"] == "default-deny":
            document["spec"]["policyTypes"] = ["Ingress"]

    before = copy.deepcopy(render_kubernetes(inputs()).files)
    assert judge(damaged("10-policies.yaml", "NetworkPolicy", opened).files) == [
        "no NetworkPolicy closes what no other opens"
    ]
    assert judge(before) == []
