"""What others have set on our objects, what we left behind, and how it is taken away."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.targets.kubernetes.ownership import Field, foreign, leftovers, removals

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


def owned(*entries: Document, ignore: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """(path, pointer, manager)."""
    found = foreign(RENDERED, deployment(*entries), OURS, ignore)
    return [(one.path, one.pointer, one.manager) for one in found]


def test_what_is_ours_alone_or_with_others_is_not_foreign() -> None:
    assert owned() == []
    assert owned(entry("kubectl-edit", MINE)) == []


def test_a_variable_that_somebody_added_is_one_field_with_its_place_in_the_list() -> None:
    variable = {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}
    edit = entry("kubectl-edit", template({"f:containers": {API: {"f:env": variable}}}))
    place = "/spec/template/spec/containers/1/env/2"
    assert owned(edit) == [(f"{CONTAINER}.env[DEBUG]", place, "kubectl-edit")]


def test_where_a_whole_list_is_of_somebody_its_items_are_named() -> None:
    volumes = {".": {}, 'k:{"name":"v"}': {".": {}, "f:name": {}}, 'k:{"name":"w"}': {".": {}, "f:name": {}}}
    live = deployment(entry("kubectl-edit", template({"f:volumes": volumes})))
    live["spec"]["template"]["spec"]["volumes"] = [{"name": "w"}, {"name": "v"}]
    assert [(one.path, one.pointer) for one in foreign(RENDERED, live, OURS)] == [
        ("spec.template.spec.volumes[v]", "/spec/template/spec/volumes/1"),
        ("spec.template.spec.volumes[w]", "/spec/template/spec/volumes/0"),
    ]


def test_a_container_that_somebody_added_is_one_field_and_not_its_parts() -> None:
    sidecar = {'k:{"name":"sidecar"}': {".": {}, "f:name": {}, "f:image": {}, "f:resources": {}}}
    added = entry("injector", template({"f:containers": sidecar}))
    assert owned(added) == [
        ("spec.template.spec.containers[sidecar]", "/spec/template/spec/containers/0", "injector")
    ]


def test_labels_ports_and_plain_fields_are_found_where_they_are() -> None:
    port = {'k:{"containerPort":9,"protocol":"TCP"}': {".": {}, "f:containerPort": {}, "f:protocol": {}}}
    fields = template({"f:nodeSelector": {}, "f:containers": {API: {"f:ports": port}}})
    fields["f:metadata"] = {"f:labels": {".": {}, "f:example.com/team": {}}, "f:annotations": {"f:x": {}}}
    fields["f:spec"]["f:minReadySeconds"] = {}
    assert sorted(owned(entry("a", fields), entry("b", {"f:spec": {"f:minReadySeconds": {}}}))) == [
        ("metadata.labels[example.com/team]", "/metadata/labels/example.com~1team", "a"),
        ("spec.minReadySeconds", "/spec/minReadySeconds", "a, b"),
        (f"{CONTAINER}.ports[9/TCP]", "/spec/template/spec/containers/1/ports/1", "a"),
        ("spec.template.spec.nodeSelector", "/spec/template/spec/nodeSelector", "a"),
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


def field(pointer: str) -> Field:
    return Field(object="Deployment api", manager="x", path=pointer, pointer=pointer)


def test_removals_begin_at_the_end_of_a_list_and_hold_only_for_what_was_read() -> None:
    fields = [field(f"/spec/env/{number}") for number in (2, 10, 9)]
    assert removals([*fields, field("/spec/env/10/value")], "77") == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "77"},
        {"op": "remove", "path": "/spec/env/10"},
        {"op": "remove", "path": "/spec/env/9"},
        {"op": "remove", "path": "/spec/env/2"},
    ]
    assert removals([], "77") == []


@given(st.sets(st.integers(0, 30), max_size=12), st.sets(st.integers(0, 30), max_size=12))
def test_removals_take_exactly_what_they_name(outer: set[int], inner: set[int]) -> None:
    document = {"list": [{"list": list(range(31)), "number": number} for number in range(31)]}
    names = [f"/list/{number}" for number in outer] + [f"/list/30/list/{number}" for number in inner]
    for operation in removals([field(name) for name in names]):
        where: Any = document
        *parents, last = operation["path"].split("/")[1:]
        for token in parents:
            where = where[int(token)] if isinstance(where, list) else where[token]
        del where[int(last)]
    assert [one["number"] for one in document["list"]] == [n for n in range(31) if n not in outer]
    if 30 not in outer:
        assert document["list"][-1]["list"] == [n for n in range(31) if n not in inner]
