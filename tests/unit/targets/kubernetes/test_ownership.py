"""What others have set on our objects, what we left behind, and how it is taken away."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.targets.kubernetes.ownership import Field, foreign, leftovers, taken_over

Document = dict[str, Any]
OURS = "cortex-ops"
CONTAINER = "spec.template.spec.containers[api]"
API = 'k:{"name":"api"}'


def entry(manager: str, fields: Document, operation: str = "Update", **more: Any) -> Document:
    return {"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields, **more}


def template(fields: Document) -> Document:
    return {"f:spec": {"f:template": {"f:spec": fields}}}


def deployment(*entries: Document) -> Document:
    container = {
        "name": "api",
        "image": "x",
        "env": [{"name": "PORT", "value": "1"}, {"name": "A", "value": "2"}, {"name": "DEBUG", "value": "s3cret"}],
        "ports": [{"containerPort": 8080, "protocol": "TCP"}, {"containerPort": 9, "protocol": "TCP"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "api",
            "labels": {"app": "api", "example.com/team": "x"},
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "managedFields": [entry(OURS, MINE, "Apply"), *entries],
        },
        "spec": {
            "replicas": 3,
            "minReadySeconds": 9,
            "template": {
                "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
                "spec": {
                    "dnsPolicy": "ClusterFirst",
                    "nodeSelector": {"disk": "fast"},
                    "containers": [{"name": "sidecar", "image": "y"}, container],
                },
            },
        },
        "status": {"replicas": 3},
    }


MINE = {
    "f:metadata": {"f:labels": {"f:app": {}}},
    "f:spec": {
        "f:template": {
            "f:spec": {
                "f:containers": {
                    API: {
                        ".": {},
                        "f:name": {},
                        "f:image": {},
                        "f:env": {'k:{"name":"PORT"}': {".": {}, "f:name": {}, "f:value": {}}},
                        "f:ports": {
                            'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
                        },
                    }
                }
            }
        }
    },
}
RENDERED: Document = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "api", "labels": {"app": "api"}},
    "spec": {
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "api",
                        "image": "x",
                        "env": [{"name": "PORT", "value": "1"}],
                        "ports": [{"containerPort": 8080}],
                    }
                ]
            }
        }
    },
}


DEBUG = entry(
    "kubectl-edit",
    template(
        {"f:containers": {API: {"f:env": {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}}}},
    ),
)


def owned(*entries: Document, ignore: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """(path, manager)."""
    return [(one.path, one.manager) for one in foreign(RENDERED, deployment(*entries), OURS, ignore)]


def test_what_is_ours_alone_or_with_others_is_not_foreign() -> None:
    assert owned() == []
    assert owned(entry("kubectl-edit", MINE)) == []


def test_a_variable_that_somebody_added_is_one_field() -> None:
    assert owned(DEBUG) == [(f"{CONTAINER}.env[DEBUG]", "kubectl-edit")]


def test_where_a_whole_list_is_of_somebody_its_items_are_named() -> None:
    volumes = {".": {}, 'k:{"name":"v"}': {".": {}, "f:name": {}}, 'k:{"name":"w"}': {".": {}, "f:name": {}}}
    live = deployment(entry("kubectl-edit", template({"f:volumes": volumes})))
    live["spec"]["template"]["spec"]["volumes"] = [{"name": "w"}, {"name": "v"}]
    assert [one.path for one in foreign(RENDERED, live, OURS)] == [
        "spec.template.spec.volumes[v]",
        "spec.template.spec.volumes[w]",
    ]


def test_a_container_that_somebody_added_is_one_field_and_not_its_parts() -> None:
    sidecar = {'k:{"name":"sidecar"}': {".": {}, "f:name": {}, "f:image": {}, "f:resources": {}}}
    added = entry("injector", template({"f:containers": sidecar}))
    assert owned(added) == [("spec.template.spec.containers[sidecar]", "injector")]


def test_labels_ports_and_plain_fields_are_found_where_they_are() -> None:
    port = {'k:{"containerPort":9,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}}}
    fields = template({"f:nodeSelector": {}, "f:containers": {API: {"f:ports": port}}})
    fields["f:metadata"] = {"f:labels": {".": {}, "f:example.com/team": {}}, "f:annotations": {"f:x": {}}}
    fields["f:spec"]["f:minReadySeconds"] = {}
    assert sorted(owned(entry("a", fields), entry("b", {"f:spec": {"f:minReadySeconds": {}}}))) == [
        ("metadata.labels[example.com/team]", "a"),
        ("spec.minReadySeconds", "a, b"),
        (f"{CONTAINER}.ports[9/TCP]", "a"),
        ("spec.template.spec.nodeSelector", "a"),
    ]


def test_a_rendered_field_that_another_took_is_not_foreign_since_it_may_not_be_removed() -> None:
    live = deployment(entry("kubectl-set", template({"f:containers": {API: {"f:image": {}}}})))
    del live["metadata"]["managedFields"][0]
    assert foreign(RENDERED, live, OURS) == []


@pytest.mark.parametrize(
    "other",
    [
        entry("kube-controller-manager", {"f:spec": {"f:minReadySeconds": {}}}),
        entry("status-writer", {"f:status": {"f:replicas": {}}}),
        entry("scaler", {"f:spec": {"f:replicas": {}}}, subresource="scale"),
        entry("handover", {"f:spec": {"f:replicas": {}}}, "Apply"),
        entry("odd", {"f:spec": {"f:minReadySeconds": {}}}, subresource="status"),
        entry("creator", template({"f:dnsPolicy": {}})),
        entry("kubectl", {"f:metadata": {"f:annotations": {".": {}, "f:deployment.kubernetes.io/revision": {}}}}),
        entry(
            "kubectl-rollout",
            {
                "f:spec": {
                    "f:template": {
                        "f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}
                    }
                }
            },
        ),
        entry("gone", {"f:spec": {"f:paused": {}, "f:template": {"f:spec": {"f:volumes": {'k:{"name":"x"}': {}}}}}}),
    ],
    ids=lambda one: one["manager"],
)
def test_what_the_cluster_sets_and_what_changes_nothing_is_not_foreign(other: Document) -> None:
    assert owned(other) == []


def test_a_manager_can_be_ignored() -> None:
    edit = entry("operator", {"f:spec": {"f:minReadySeconds": {}}})
    assert owned(edit, ignore=("operator",)) == []
    assert len(owned(edit)) == 1


def test_an_account_may_be_given_logins_but_no_token() -> None:
    fields = {
        "f:secrets": {".": {}, 'k:{"name":"login"}': {".": {}, "f:name": {}}},
        "f:imagePullSecrets": {".": {}, 'k:{"name":"login"}': {}},
        "f:automountServiceAccountToken": {},
    }
    live = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "api", "managedFields": [entry("distribution", fields)]},
        "secrets": [{"name": "login"}],
        "imagePullSecrets": [{"name": "login"}],
        "automountServiceAccountToken": True,
    }
    rendered = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "api"}}
    assert [one.path for one in foreign(rendered, live, OURS)] == ["automountServiceAccountToken"]


def test_a_namespace_may_be_labelled_by_others_but_not_opened() -> None:
    labels = {"f:team": {}, "f:pod-security.kubernetes.io/enforce-version": {}}
    live = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": "shop",
            "labels": {"team": "x", "pod-security.kubernetes.io/enforce-version": "v1.2"},
            "managedFields": [entry("kubectl-label", {"f:metadata": {"f:labels": labels}})],
        },
    }
    rendered = {**live, "metadata": {"name": "shop"}}
    assert [one.path for one in foreign(rendered, live, OURS)] == [
        "metadata.labels[pod-security.kubernetes.io/enforce-version]"
    ]


def test_what_was_applied_once_and_is_rendered_no_more_is_left_over() -> None:
    live = deployment()
    assert leftovers(RENDERED, live, OURS) == []
    rendered = copy.deepcopy(RENDERED)
    container = rendered["spec"]["template"]["spec"]["containers"][0]
    container["env"], container["ports"] = [], []
    rendered["metadata"]["labels"] = {}
    assert [one.path for one in leftovers(rendered, live, OURS)] == [
        "metadata.labels.app",
        f"{CONTAINER}.env[PORT]",
        f"{CONTAINER}.ports[8080/TCP]",
    ]
    assert leftovers(rendered, deployment(), "somebody-else") == []


def test_what_we_and_another_have_set_is_left_over_and_not_foreign() -> None:
    both = {"f:spec": {"f:minReadySeconds": {}}}
    live = deployment(entry(OURS, both, "Apply"), entry("kubectl-edit", both))
    assert [one.path for one in leftovers(RENDERED, live, OURS)] == ["spec.minReadySeconds"]
    assert foreign(RENDERED, live, OURS) == []


def test_what_a_patch_of_ours_set_is_not_left_over_since_no_apply_would_take_it() -> None:
    patched = deployment(entry(OURS, {"f:spec": {"f:minReadySeconds": {}}}))
    assert leftovers(RENDERED, patched, OURS) == []
    assert foreign(RENDERED, patched, OURS) == []


def named(fields: Any, steps: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Every field that FieldsV1 names."""
    if not fields:
        return {steps}
    return {found for key, inner in fields.items() for found in named(inner, (*steps, key))}


def owners(entries: list[Document]) -> dict[str, set[tuple[str, ...]]]:
    return {f"{one['manager']} {one['operation']}": named(one["fieldsV1"]) for one in entries}


def test_what_another_added_is_then_what_we_have_applied_and_no_longer_his() -> None:
    before = copy.deepcopy(DEBUG)
    before["fieldsV1"]["f:metadata"] = {"f:annotations": {"f:note": {}}}
    live = deployment(before)
    entries = taken_over(live, foreign(RENDERED, live, OURS), OURS)
    found = owners(entries)
    assert found["kubectl-edit Update"] == {("f:metadata", "f:annotations", "f:note")}
    assert found[f"{OURS} Apply"] == named(MINE) | named(DEBUG["fieldsV1"])
    after = deployment()
    after["metadata"]["managedFields"] = entries
    assert foreign(RENDERED, after, OURS) == []
    assert [one.path for one in leftovers(RENDERED, after, OURS)] == [f"{CONTAINER}.env[DEBUG]"]


def test_who_has_nothing_left_is_named_no_more_and_a_status_stays_whose_it_is() -> None:
    status = entry("kubectl-edit", {"f:status": {"f:replicas": {}}}, subresource="status")
    live = deployment(DEBUG, status)
    entries = taken_over(live, foreign(RENDERED, live, OURS), OURS)
    assert [(one["manager"], one.get("subresource")) for one in entries] == [(OURS, None), ("kubectl-edit", "status")]


def test_what_several_have_set_is_taken_from_each() -> None:
    both = {"f:spec": {"f:minReadySeconds": {}}}
    live = deployment(entry("a", both), entry("b", both, "Apply"), entry("c", {"f:spec": {"f:replicas": {}}}))
    assert set(owners(taken_over(live, foreign(RENDERED, live, OURS), OURS))) == {f"{OURS} Apply", "c Update"}


def test_a_manager_may_be_called_anything() -> None:
    live = deployment(entry("a, b", {"f:spec": {"f:minReadySeconds": {}}}))
    assert list(owners(taken_over(live, foreign(RENDERED, live, OURS), OURS))) == [f"{OURS} Apply"]


def test_an_object_that_we_have_never_applied_is_taken_over_too() -> None:
    live = deployment(DEBUG)
    del live["metadata"]["managedFields"][0]
    (mine,) = taken_over(live, foreign(RENDERED, live, OURS), OURS)
    said = [mine[key] for key in ("manager", "operation", "apiVersion", "fieldsType")]
    assert said == [OURS, "Apply", "apps/v1", "FieldsV1"]
    assert named(mine["fieldsV1"]) == named(DEBUG["fieldsV1"])


def test_nothing_is_written_into_what_was_read() -> None:
    live = deployment(DEBUG)
    before = copy.deepcopy(live)
    taken_over(live, foreign(RENDERED, live, OURS), OURS)
    assert live == before


def tree(names: set[tuple[str, ...]]) -> Document:
    fields: Document = {}
    for steps in names:
        where = fields
        for step in steps:
            where = where.setdefault(step, {})
    return fields


STEPS = st.sets(st.tuples(*[st.sampled_from(["f:a", "f:b", "f:c"])] * 3), max_size=12)


@given(STEPS, STEPS, STEPS)
def test_no_field_is_lost_and_none_but_the_named_changes_hands(
    ours: set[tuple[str, ...]], theirs: set[tuple[str, ...]], asked: set[tuple[str, ...]]
) -> None:
    entries = [entry(OURS, tree(ours), "Apply"), entry("x", tree(theirs))]
    live = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "x", "managedFields": entries}}
    fields = [Field(object="X x", managers=("x",), path="", steps=steps) for steps in sorted(asked)]
    found = {one["manager"]: named(one["fieldsV1"]) for one in taken_over(live, fields, OURS)}
    assert found.get(OURS, set()) == ours | (theirs & asked)
    assert found.get("x", set()) == theirs - asked
