"""What may be removed from a cluster."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.targets.kubernetes.objects import Ref
from cortex_ops.targets.kubernetes.prune import PROTECTED, prune_plan

Document = dict[str, Any]


def live(kind: str, name: str, uid: str = "u1", **metadata: Any) -> Document:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop", "uid": uid, **metadata}}


def decided(document: Document, rendered: list[Document], now: list[Document]) -> tuple[bool, str]:
    (decision,) = prune_plan([Ref.of(document)], rendered, now)
    return decision.remove, decision.reason


def test_an_object_that_is_rendered_no_more_is_removed() -> None:
    old = live("Service", "old")
    (decision,) = prune_plan([Ref.of(old)], [live("Service", "new", "")], [old])
    assert decision.line() == "Service old: remove: it is rendered no more"


def test_an_object_that_is_rendered_again_stays_even_by_another_version_of_its_api() -> None:
    old = {**live("Service", "api"), "apiVersion": "example.com/v1"}
    again = {**live("Service", "api", ""), "apiVersion": "example.com/v2"}
    assert decided(old, [again], [old]) == (False, "it is rendered again")


def test_an_object_of_the_same_name_that_is_another_one_is_left() -> None:
    old, other = live("Service", "old"), live("Service", "old", "u2")
    assert decided(old, [], [other]) == (
        False,
        "it is another object of that name now (UID u2, recorded was u1)",
    )
    unknown = live("Service", "old", "")
    assert decided(unknown, [], [other]) == (False, "its UID was not recorded, so that it may be another's")


def test_what_is_gone_or_going_needs_nothing() -> None:
    old = live("Service", "old")
    assert decided(old, [], []) == (False, "it is already gone")
    assert decided(old, [], [live("Service", "old", deletionTimestamp="now")]) == (
        False,
        "it is already being deleted",
    )


def test_a_namespace_and_a_claim_are_never_removed() -> None:
    for kind in ("Namespace", "PersistentVolumeClaim"):
        old = live(kind, "old")
        assert decided(old, [], [old]) == (False, f"a {kind} is never removed")


def test_what_is_in_the_cluster_but_was_not_recorded_is_not_even_looked_at() -> None:
    assert prune_plan([], [], [live("Service", "somebody-else")]) == []


def test_followers_go_before_workloads_and_workloads_before_what_they_need() -> None:
    kinds = ["Secret", "PersistentVolumeClaim", "Deployment", "HorizontalPodAutoscaler"]
    objects = [live(kind, "x") for kind in kinds]
    plan = prune_plan([Ref.of(one) for one in objects], [], objects)
    assert [one.ref.kind for one in plan] == [
        "HorizontalPodAutoscaler",
        "Deployment",
        "Secret",
        "PersistentVolumeClaim",
    ]


OBJECTS = st.builds(
    live,
    st.sampled_from([*sorted(PROTECTED), "Service", "Deployment", "Secret"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["", "u1", "u2"]),
)


@given(st.lists(OBJECTS), st.lists(OBJECTS), st.lists(OBJECTS))
def test_only_recorded_objects_are_removed_and_never_a_protected_or_rendered_or_replaced_one(
    recorded: list[Document], rendered: list[Document], now: list[Document]
) -> None:
    inventory = [Ref.of(one) for one in recorded]
    plan = prune_plan(inventory, rendered, now)
    assert {one.ref for one in plan} == set(inventory)
    for ref in [one.ref for one in plan if one.remove]:
        assert ref.kind not in PROTECTED
        assert ref.key() not in {Ref.of(one).key() for one in rendered}
        assert ref.uid
        assert ref in [Ref.of(one) for one in now]
