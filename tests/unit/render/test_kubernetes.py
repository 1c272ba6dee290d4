"""Manifests: strict, restricted, reachable by the declared calls and by nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.values import Placement
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.kubernetes.strict import findings
from tests.support.cluster_inputs import Change, Document, inputs


def documents(*changes: Change, placement: Placement | None = None) -> list[Document]:
    files = render_kubernetes(inputs(*changes), placement or Placement(seq=3, slot="a")).files
    return [one for text in files.values() for one in yaml.safe_load_all(text)]


def the(kind: str, name: str, *changes: Change) -> Document:
    (found,) = [d for d in documents(*changes) if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


def pods(*changes: Change) -> Iterator[tuple[str, Document]]:
    for one in documents(*changes):
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]["spec"]


def test_every_document_is_what_the_api_takes() -> None:
    assert {one["kind"]: findings(one) for one in documents() if findings(one)} == {}
    assert {one["kind"] for one in documents()} >= {"Deployment", "StatefulSet", "NetworkPolicy", "Job"}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spec.replicas", "2", "spec.replicas: found '2', expected int"),
        ("spec.replica", 2, "spec.replica: found an unknown key"),
        ("spec.template.spec.containers", {}, "spec.template.spec.containers: found {}, expected a list"),
        ("spec.selector", None, "spec.selector: found nothing, expected a value"),
        ("spec.template.spec.hostNetwork", 1, "spec.template.spec.hostNetwork: found 1, expected bool"),
        ("metadata.labels", ["x"], "metadata.labels: found ['x'], expected a mapping"),
    ],
)
def test_what_the_api_would_refuse_or_drop_is_named_with_its_place(path: str, value: Any, said: str) -> None:
    document = the("Deployment", "api")
    *folders, last = path.split(".")
    inside = document
    for folder in folders:
        inside = inside[folder]
    if value is None:
        del inside[last]
    else:
        inside[last] = value
    (found,) = findings(document)
    assert found.startswith(said)


def test_the_same_inputs_give_the_same_bytes_and_names_are_unique() -> None:
    assert render_kubernetes(inputs()).files == render_kubernetes(inputs()).files
    names = [(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in documents()]
    assert len(names) == len(set(names))


def test_everything_is_in_the_namespace_that_admits_only_restricted_pods() -> None:
    namespace = the("Namespace", "cortex-local")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [one for one in documents() if one["kind"] != "Namespace"]
    assert {one["metadata"]["namespace"] for one in others} == {"cortex-local"}


def test_every_pod_meets_the_restricted_standard_and_has_limits() -> None:
    for name, pod in pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] > 0, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            inner = container["securityContext"]
            assert inner["allowPrivilegeEscalation"] is False and inner["capabilities"] == {"drop": ["ALL"]}, name
            assert inner["readOnlyRootFilesystem"] is True, name
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]) & set(
                container["resources"]["requests"]
            )
            assert container["image"].startswith("registry.test/cortex@sha256:"), name


def test_what_an_autoscaler_scales_has_no_replicas_of_its_own() -> None:
    scaled, plain = the("Deployment", "cortex-os"), the("Deployment", "api")
    assert "replicas" not in scaled["spec"] and plain["spec"]["replicas"] == 1
    spec = the("HorizontalPodAutoscaler", "cortex-os")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    percent = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in spec["metrics"]}
    assert percent == {"cpu": 70, "memory": 80}


def test_liveness_asks_the_process_and_readiness_what_it_needs() -> None:
    (container,) = the("Deployment", "api")["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"]["path"] == container["startupProbe"]["httpGet"]["path"] == "/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"


def test_no_value_of_a_secret_is_rendered_and_its_version_is_in_the_pod() -> None:
    assert "Secret" not in {one["kind"] for one in documents()}
    volumes = the("Deployment", "api")["spec"]["template"]["spec"]["volumes"]
    assert {"secretName": "api-0123456789ab", "defaultMode": 0o440} in [v.get("secret") for v in volumes]


def test_an_exposed_secret_is_a_reference() -> None:
    def expose(document: Document) -> None:
        document["services"]["api"] |= {"exposure": {"TOKEN_KEY_FILE": "env"}, "command": ["node", "x"]}

    (container,) = the("Deployment", "api", expose)["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one for one in container["env"]}
    assert given["TOKEN_KEY_FILE"]["valueFrom"] == {"secretKeyRef": {"name": "api-0123456789ab", "key": "token-key"}}
    assert container["command"] == ["node", "x"]


@pytest.mark.parametrize("value", ["$(HOME)", "$$(HOME)", "a $5 note", "$$", "$", "y", "0o17", "1e3", ""])
def test_a_value_is_what_was_written_after_the_kubelet_expanded_it(value: str) -> None:
    def change(document: Document) -> None:
        document["services"]["api"]["env"]["ODD"] = value
        document["services"]["api"]["command"] = ["run", value]

    (container,) = the("Deployment", "api", change)["spec"]["template"]["spec"]["containers"]
    (given,) = [one["value"] for one in container["env"] if one["name"] == "ODD"]
    assert (expanded(given), expanded(container["command"][1])) == (value, value)


def expanded(text: str) -> str:
    """As the kubelet does it (kubernetes/third_party/forked/golang/expansion): `$$` is `$`, `$(NAME)` is replaced."""
    out, rest = "", text
    while "$" in rest:
        before, _, rest = rest.partition("$")
        out += before
        if rest.startswith("$"):
            out, rest = out + "$", rest[1:]
        elif rest.startswith("(") and ")" in rest:
            out, rest = out + "EXPANDED", rest.partition(")")[2]
        else:
            out += "$"
    return out + rest


def test_a_service_that_must_not_run_twice_is_recreated() -> None:
    def alone(document: Document) -> None:
        document["services"]["agents"]["handover"] = "stop_start"

    assert the("Deployment", "agents", alone)["spec"]["strategy"] == {"type": "Recreate"}
    assert the("Deployment", "api")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_an_unchanged_service_is_not_restarted_by_another_release() -> None:
    third, fourth = (documents(placement=Placement(seq=seq, slot="a")) for seq in (3, 4))
    assert [d for d in third if d["kind"] != "Job"] == [d for d in fourth if d["kind"] != "Job"]
    jobs = [d["metadata"]["name"] for d in fourth if d["kind"] == "Job"]
    assert jobs == ["cortex-os-migrate-r4", "integration-tests-r4"]


# -- who may talk to whom ----------------------------------------------------------------------------------------


def allows(rules: list[Document], labels: dict[str, str], port: int) -> bool:
    """Whether rules of a policy (ingress or egress) admit a pod of these labels in the same namespace."""
    for rule in rules:
        if port not in [one["port"] for one in rule["ports"]]:
            continue
        for peer in rule.get("from", rule.get("to", [])):
            chosen = peer.get("podSelector")
            if (
                chosen is not None
                and "namespaceSelector" not in peer
                and chosen["matchLabels"].items() <= labels.items()
            ):
                return True
    return False


def test_exactly_the_declared_calls_are_open_at_both_ends() -> None:
    stack = inputs().stack
    policies = {d["metadata"]["name"]: d["spec"] for d in documents() if d["kind"] == "NetworkPolicy"}
    assert policies.pop("default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    ports = {name: int(one.port) for name, one in stack.services.items()}
    ports |= {"postgres": 5432, "nats": 4222, "redis": 6379, "qdrant": 6333}
    labels = {name: one["podSelector"]["matchLabels"] for name, one in policies.items()}
    wanted = {(name, called) for name, one in stack.services.items() for called in one.calls if called in ports}
    wanted |= {("cortex-os-migrate", "postgres"), ("integration-tests", "api"), ("integration-tests", "cortex-web")}
    found = {
        (caller, called)
        for caller, called in itertools.product(policies, ports)
        if allows(policies[caller].get("egress", []), labels[called], ports[called])
        and allows(policies[called].get("ingress", []), labels[caller], ports[called])
    }
    assert found == wanted
    half_open = {
        (caller, called)
        for caller, called in itertools.product(policies, ports)
        if allows(policies[caller].get("egress", []), labels[called], ports[called])
        != allows(policies[called].get("ingress", []), labels[caller], ports[called])
    }
    assert half_open == set()


def test_names_are_resolved_over_udp_and_tcp_by_all_that_call() -> None:
    for one in (d for d in documents() if d["kind"] == "NetworkPolicy" and d["spec"].get("egress")):
        dns = [rule for rule in one["spec"].get("egress", []) if [p["port"] for p in rule["ports"]] == [53, 53]]
        assert [{p["protocol"] for p in rule["ports"]} for rule in dns] == [{"UDP", "TCP"}], one["metadata"]["name"]


# -- the host ----------------------------------------------------------------------------------------------------


def test_the_host_is_a_service_with_the_address_of_the_environment() -> None:
    assert "selector" not in the("Service", "mlx")["spec"]
    assert the("EndpointSlice", "mlx")["endpoints"] == [{"addresses": ["192.0.2.7"], "conditions": {"ready": True}}]
    (container,) = the("Deployment", "model-gateway")["spec"]["template"]["spec"]["containers"]
    assert {"name": "MLX_BASE_URL", "value": "http://mlx:8081"} in container["env"]


def test_a_host_with_a_name_is_an_external_name() -> None:
    def by_name(document: Document) -> None:
        document["environments"]["local"]["kubernetes"] = {"host_address": "mac.example.test"}

    spec = the("Service", "mlx", by_name)["spec"]
    assert (spec["type"], spec["externalName"]) == ("ExternalName", "mac.example.test")


def test_an_environment_that_does_not_say_where_the_host_is_is_told_so() -> None:
    def nowhere(document: Document) -> None:
        document["environments"]["local"]["kubernetes"] = {}

    with pytest.raises(InputError, match="does not say where mlx runs"):
        documents(nowhere)


# -- what cannot run in a cluster --------------------------------------------------------------------------------


def test_images_of_a_local_engine_are_refused_with_the_remedy() -> None:
    local = {"repository": "", "digest": "", "image_id": "sha256:x", "engine_id": "e"}
    with pytest.raises(InputError, match="only in a local engine") as caught:
        render_kubernetes(inputs(images=local))
    assert "CORTEX_OPS_REGISTRY" in caught.value.remedy


@pytest.mark.parametrize("user", ["", "root", "0", "node"])
def test_an_image_without_a_numeric_user_is_refused(user: str) -> None:
    with pytest.raises(OpsError, match="is not a number other than 0"):
        render_kubernetes(inputs(images={"user": user}))
