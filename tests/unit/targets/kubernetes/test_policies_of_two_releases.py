"""While one release replaces another, what either may do is allowed, and nothing else."""

from __future__ import annotations

from typing import Any

import yaml

from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.targets.kubernetes.target import as_label, calls_of, widened
from tests.support.cluster_inputs import inputs

Document = dict[str, Any]


def policy(**spec: Any) -> Document:
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": "api"},
        "spec": {"podSelector": {"matchLabels": {"a": "b"}}} | spec,
    }


def to(name: str) -> Document:
    return {"to": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}]}


def test_both_releases_may_call_whom_they_call() -> None:
    both = widened(policy(egress=[to("new")]), policy(egress=[to("old"), to("new")]))
    assert both["spec"]["egress"] == [to("new"), to("old")]


def test_where_neither_allows_anything_no_empty_rule_is_made() -> None:
    assert widened(policy(), policy())["spec"] == policy()["spec"]
    assert "ingress" not in widened(policy(egress=[to("x")]), policy())["spec"]


def test_what_closes_everything_is_not_opened() -> None:
    closed = policy(podSelector={})
    assert widened(closed, policy(podSelector={}, egress=[to("x")])) == closed


def test_widening_with_itself_changes_nothing() -> None:
    one = policy(egress=[to("x")], ingress=[{"from": []}])
    assert widened(one, one) == one


def test_who_calls_whom_is_read_from_the_policies_as_the_stack_file_says_it() -> None:
    given = inputs()
    documents = [one for text in render_kubernetes(given).files.values() for one in yaml.safe_load_all(text)]
    calls = calls_of(documents)
    known = set(given.stack.services) | set(given.stack.stores)
    for name, service in given.stack.services.items():
        if not service.optional:
            assert set(calls[name]) == {one for one in service.calls if one in known}, name


def test_any_text_can_be_a_label() -> None:
    assert as_label("0a1b-run") == "0a1b-run"
    for odd in ("a run that never was", "-x", "x" * 64, "", "ä"):
        assert as_label(odd) != odd and as_label(odd).isalnum() and len(as_label(odd)) <= 63
    assert as_label("a b") != as_label("a c")
