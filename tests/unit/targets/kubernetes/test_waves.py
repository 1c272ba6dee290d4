"""In which order a release is brought up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.kernel.errors import OpsError
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.yaml_output import read_all_yaml
from cortex_ops.targets.kubernetes.waves import levels, waves
from tests.support.cluster_inputs import inputs

Document = dict[str, Any]


def one(kind: str, name: str, spec: Document | None = None) -> Document:
    labels = {"app": name}
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"template": {"metadata": {"labels": labels}}, **(spec or {})},
    }


def named(found: list[list[Document]]) -> list[list[str]]:
    return [[f"{each['kind']} {each['metadata']['name']}" for each in wave] for wave in found]


def test_what_pods_need_comes_first_then_stores_then_callees_before_their_callers() -> None:
    target = {"scaleTargetRef": {"kind": "Deployment", "name": "api"}}
    documents = [
        one("HorizontalPodAutoscaler", "scale-api", target),
        one("PodDisruptionBudget", "web-budget", {"selector": {"matchLabels": {"app": "web"}}}),
        one("Deployment", "web"),
        one("Deployment", "api"),
        one("StatefulSet", "db"),
        one("Service", "db"),
        one("Namespace", "shop"),
        one("Deployment", "worker"),
    ]
    calls = {"web": ["api"], "api": ["db", "mlx", "edge"]}
    assert named(waves(documents, calls)) == [
        ["Namespace shop"],
        ["Service db"],
        ["StatefulSet db"],
        ["Deployment api", "Deployment worker", "HorizontalPodAutoscaler scale-api"],
        ["Deployment web", "PodDisruptionBudget web-budget"],
    ]


def test_what_follows_no_workload_comes_last_and_what_follows_two_comes_with_the_later() -> None:
    both = one("PodDisruptionBudget", "both", {"selector": {"matchLabels": {"part": "shop"}}})
    api, web = one("Deployment", "api"), one("Deployment", "web")
    for each in (api, web):
        each["spec"]["template"]["metadata"]["labels"]["part"] = "shop"
    found = waves([both, one("PodDisruptionBudget", "lost"), api, web], {"web": ["api"]})
    assert named(found) == [
        ["Deployment api"],
        ["Deployment web", "PodDisruptionBudget both"],
        ["PodDisruptionBudget lost"],
    ]


def test_services_that_call_each_other_in_a_circle_are_named() -> None:
    calls = {"web": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}
    with pytest.raises(OpsError, match="in a circle: a → b → c → a"):
        waves([one("Deployment", name) for name in ("web", "a", "b", "c")], calls)


def test_who_calls_itself_waits_for_nobody() -> None:
    assert levels(["a"], {"a": ["a"]}) == [{"a"}]


def test_a_long_chain_of_calls_has_as_many_waves() -> None:
    names = [f"s{number:04}" for number in range(1500)]
    calls = dict(zip(names, [[one] for one in names[1:]], strict=False))
    assert levels(names, calls) == [{name} for name in reversed(names)]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_every_callee_is_there_before_its_caller_and_nobody_is_lost(pairs: list[tuple[int, int]]) -> None:
    calls: dict[str, list[str]] = {}
    for first, second in pairs:  # a higher number calls a lower one, so that there is no circle
        calls.setdefault(str(max(first, second)), []).append(str(min(first, second)))
    names = [str(number) for number in range(10)]
    found = levels(names, calls)
    when = {name: number for number, wave in enumerate(found) for name in wave}
    assert sorted(when) == names
    assert all(
        when[callee] < when[caller] for caller, callees in calls.items() for callee in callees if callee != caller
    )


def test_every_rendered_object_is_in_exactly_one_wave() -> None:
    stack = inputs().stack
    files = render_kubernetes(inputs()).files
    documents = [one for name, text in files.items() if not name.startswith("jobs/") for one in read_all_yaml(text)]
    found = waves(documents, {name: service.calls for name, service in stack.services.items()})
    assert sorted(id(one) for wave in found for one in wave) == sorted(id(one) for one in documents)
    assert [one["kind"] for one in found[0]] == ["Namespace"]
    assert {one["kind"] for one in found[2]} == {"StatefulSet"}
