"""What watches an environment is rendered beside its manifests, harmless to them, judged, and told in the folder."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cortex_ops.pipeline import rendering
from cortex_ops.render.compose import render_compose
from cortex_ops.render.equivalence import differences
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes import policy, render_kubernetes
from cortex_ops.render.kubernetes.policy import DECLARED, judge
from cortex_ops.render.kubernetes.readme import with_readme
from cortex_ops.render.kubernetes.strict import findings
from cortex_ops.render.yaml_output import Text, read_yaml, to_yaml
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.naming import secret_volume
from tests.support.cluster_inputs import Document
from tests.support.watched import (
    FLUENTD,
    IMAGE,
    IMAGES,
    LOGIN,
    OPERATOR,
    PROMETHEUS,
    documents,
    watched,
    whole,
)

EVERYTHING = {
    "nothing": (),
    "prometheus": (PROMETHEUS,),
    "prometheus itself": (PROMETHEUS, {"monitoring_image": IMAGE, "alertmanager": "http://alerts:9093"}),
    "operator": (OPERATOR, {"monitoring_account": "prometheus-k8s", "monitoring_labels": {"release": "stack"}}),
    "fluentd": (FLUENTD,),
    "fluentd itself": (FLUENTD, LOGIN, {"logging_image": IMAGE}),
    "both": (PROMETHEUS, FLUENTD, LOGIN, IMAGES),
}


@pytest.mark.parametrize("what", EVERYTHING)
def test_it_may_be_applied_changes_no_manifest_and_is_no_part_of_the_system(what: str) -> None:
    given = watched(*EVERYTHING[what])
    plain, bundle = render_kubernetes(given), whole(given)
    assert {name: text for name, text in bundle.files.items() if name in plain.files} == plain.files
    more = bundle.files.keys() - plain.files.keys()
    assert {name.partition("/")[0] for name in more} <= {"monitoring", "logging"} and bool(more) == (
        what != "nothing"
    )
    assert {one["kind"]: findings(one) for one in documents(given) if findings(one)} == {}
    assert judge(bundle.files) == []
    assert differences(given, render_compose(given), bundle) == []


def test_every_object_has_a_namespace_and_a_name_of_its_own() -> None:
    for parts in EVERYTHING.values():
        found = documents(watched(*parts))
        names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in found]
        assert len(names) == len(set(names))
        assert all(one["metadata"]["namespace"] for one in found if one["kind"] != "Namespace")


def test_two_environments_can_share_the_namespaces_of_what_watches_them() -> None:
    def add_second(document: Document) -> None:
        document["environments"]["staging"]["kubernetes"] = document["environments"]["local"]["kubernetes"]

    first = watched(PROMETHEUS, FLUENTD, IMAGES, change=add_second)
    second = RenderInputs(
        stack=first.stack,
        environment=resolve(first.stack, "staging"),
        lock=first.lock,
        secret_versions=first.secret_versions,
    )
    both = [{(d["kind"], d["metadata"]["name"]): d for d in documents(given)} for given in (first, second)]
    shared = both[0].keys() & both[1].keys()
    assert {kind for kind, _ in shared} == {"Namespace"}
    assert all(both[0][one] == both[1][one] for one in shared)
    selectors = [
        d["spec"]["selector"]["matchLabels"] for side in both for (k, _), d in side.items() if k == "Deployment"
    ]
    assert selectors[0] != selectors[1]


# -- what is judged ----------------------------------------------------------------------------------------------


def damaged(given: RenderInputs, kind: str, damage: Callable[[Document], Any]) -> list[str]:
    files = dict(whole(given).files)
    for name in [name for name in files if name.startswith(("monitoring/", "logging/"))]:
        found = list(yaml.safe_load_all(files[name]))
        for one in (one for one in found if one["kind"] == kind):
            damage(one)
        files[name] = "---\n".join(to_yaml(one) for one in found)
    return judge(files)


def container(document: Document) -> Any:
    return document["spec"]["template"]["spec"]["containers"][0]


JUDGED: dict[str, tuple[str, Callable[[Document], Any], str]] = {
    "a collector with a capability": (
        "DaemonSet",
        lambda d: container(d)["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
        "logging/30-fluentd.yaml: DaemonSet cortex-local-fluentd: container fluentd keeps capabilities",
    ),
    "a collector with another folder": (
        "DaemonSet",
        lambda d: d["spec"]["template"]["spec"]["volumes"].append({"name": "etc", "hostPath": {"path": "/etc"}}),
        "volume etc is a hostPath",
    ),
    "a collector with a token": (
        "DaemonSet",
        lambda d: d["spec"]["template"]["spec"].update(automountServiceAccountToken=True),
        "automountServiceAccountToken is not false",
    ),
    "a prometheus that may be root": (
        "Deployment",
        lambda d: d["spec"]["template"]["spec"]["securityContext"].update(runAsUser=0),
        "monitoring/30-prometheus.yaml: Deployment cortex-local-prometheus: it may run as root",
    ),
    "a role that reads secrets": (
        "Role",
        lambda d: d["rules"][0].update(resources=["secrets"]),
        "it grants get, list, watch of secrets",
    ),
    "a role that deletes": ("Role", lambda d: d["rules"][0].update(verbs=["delete"]), "it grants delete of pods"),
    "too much configuration": (
        "ConfigMap",
        lambda d: d.update(data={"x": "x" * 1024**2}),
        "it has 1048577 bytes, and the API takes 1048576",
    ),
    "an unknown key of a rule": (
        "PrometheusRule",
        lambda d: d["spec"]["groups"][0]["rules"][0].update(severity="critical"),
        "spec.groups[0].rules[0].severity: found an unknown key",
    ),
    "a span that is none": (
        "PodMonitor",
        lambda d: d["spec"]["podMetricsEndpoints"][0].update(interval="15"),
        "spec.podMetricsEndpoints[0].interval: found '15', expected text like",
    ),
}


@pytest.mark.parametrize("what", JUDGED)
def test_it_may_not_be_applied_with(what: str) -> None:
    kind, damage, sentence = JUDGED[what]
    given = watched(OPERATOR if kind in ("PrometheusRule", "PodMonitor") else PROMETHEUS, FLUENTD)
    if kind not in ("PrometheusRule", "PodMonitor"):
        given = watched(PROMETHEUS, FLUENTD, IMAGES)
    found = damaged(given, kind, damage)
    assert found and all(sentence in one for one in found), found


def test_only_the_namespace_of_the_logs_may_admit_more_than_restricted_pods() -> None:
    def privileged(document: Document) -> None:
        document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"

    (found,) = damaged(watched(PROMETHEUS, FLUENTD, IMAGES), "Namespace", privileged)
    assert found == "monitoring/00-namespace.yaml: Namespace watch: it admits more than restricted pods"


def test_every_declared_exception_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "DECLARED", {})
    found = {tuple(one.split(": ", 2)) for one in judge(whole(watched(PROMETHEUS, FLUENTD, LOGIN, IMAGES)).files)}
    without = {(file.partition("/")[0], named.split()[0], sentence) for file, named, sentence in found}
    assert without == {(*place, sentence) for place, reasons in DECLARED.items() for sentence in reasons}


# -- the folder --------------------------------------------------------------------------------------------------


def readme(*parts: dict[str, Any]) -> str:
    given = watched(*parts)
    volumes: dict[str, list[str]] = {}
    for consumer, version in given.secret_versions.items():
        volumes[secret_volume(given.stack.name, "local", consumer, version)] = ["x"]
    return with_readme(whole(given), given, volumes).files["README.md"]


def test_the_readme_says_what_to_type_for_what_was_rendered_and_for_nothing_else() -> None:
    plain = readme()
    assert "-f monitoring" not in plain and "-f logging" not in plain
    both = readme(PROMETHEUS, FLUENTD, LOGIN)
    assert "    kubectl apply -f monitoring\n" in both and "    kubectl apply -f logging\n" in both
    assert "runs as the ServiceAccount cortex-local-prometheus" in both
    assert "kubectl -n logs create secret generic elastic-login --from-file=username=FILE" in both
    assert "ServiceAccount" not in readme(PROMETHEUS, FLUENTD, IMAGES)
    assert "Prometheus operator" in readme(OPERATOR)


def test_what_is_rendered_by_hand_has_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = watched(PROMETHEUS, FLUENTD)
    volumes = {
        secret_volume(given.stack.name, "local", consumer, version): {"x": ""}
        for consumer, version in given.secret_versions.items()
    }
    recorded = SimpleNamespace(secrets=lambda: (given.secret_versions, volumes), render_inputs=lambda versions: given)
    monkeypatch.setattr(rendering, "check_environment", lambda w, env: None)
    monkeypatch.setattr(rendering, "_renderer_for_hand", lambda w, env: recorded)
    w: Any = SimpleNamespace(stack=given.stack, environment=lambda env: given.environment)
    found = rendering.render_for_hand(w, "local", "kubernetes").files
    assert {name: text for name, text in found.items() if name != "README.md"} == whole(given).files
    assert "kubectl apply -f logging" in found["README.md"]


def test_a_file_within_a_file_is_shown_as_text_and_read_as_it_was() -> None:
    text = 'a: 1\n  # two\n\n$x \\n "q"\n'
    assert to_yaml({"f": Text(text)}).startswith("f: |")
    for odd in (text, "trailing space \nx", "\ttab\n", "no end", " first\nline", "a\r\nb\n", "é\u2028x\n", ""):
        assert read_yaml(to_yaml({"f": Text(odd)})) == {"f": odd}
