"""Drift of a whole object: of a secret, of one that is not there, and by whom."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from cortex_ops.kernel.canonical import canonical
from cortex_ops.targets.kubernetes.compare import differences, drift, pending
from cortex_ops.targets.kubernetes.paths import keys_of
from tests.support.cluster_live import POD, Document, api, deployment, rendered_objects


def test_nothing_of_a_secret_is_shown() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "api-1", "annotations": {"note": "hunter2"}},
        "stringData": {"password": "hunter2", "same": "pw", "gone": "hunter3"},
        "immutable": True,
    }
    live = {
        **secret,
        "metadata": {"name": "api-1", "annotations": {"note": "other"}},
        "data": {"password": "b3RoZXI=", "same": "cHc=", "more": "bW9yZQ=="},
    }
    del live["stringData"]
    changed = differences(secret, live)
    assert [(one.field, one.expected, one.found) for one in changed] == [
        ("metadata.annotations.note", "(redacted)", "(redacted), not equal"),
        ("data.password", "(redacted)", "(redacted), not equal"),
        ("data.gone", "(redacted)", "absent"),
        ("data.more", "absent", "(redacted), not equal"),
    ]


def test_an_object_that_is_not_there_is_one_difference() -> None:
    assert [one.line() for one in drift(deployment(), None, "ours")] == [
        "Deployment api: object: expected 'present', found 'absent'"
    ]


def fields_of(value: Any, place: tuple[str, ...] = ()) -> Document:
    """FieldsV1 of what is applied: lists of the API's own keys by these, all others as a whole."""
    out: Document = {}
    for key, one in value.items():
        inner = (*place, key)
        keys = keys_of(inner)
        if isinstance(one, dict) and key not in ("selector", "podSelector", "matchLabels", "nodeSelector"):
            out[f"f:{key}"] = fields_of(one, inner)
        elif isinstance(one, list) and keys:
            items = [({k: i.get(k, "TCP") for k in keys}, fields_of(i, inner)) for i in one]
            out[f"f:{key}"] = {f"k:{json.dumps(k)}": {".": {}, **fields} for k, fields in items}
        else:
            out[f"f:{key}"] = {}
    return out


@pytest.mark.parametrize("owners", [["ours"], ["ours", "kubectl-create"], ["kubectl-create"]])
def test_what_was_applied_as_rendered_has_no_drift_whoever_else_owns_it(owners: list[str]) -> None:
    for rendered in rendered_objects():
        live = copy.deepcopy(rendered)
        body = {key: one for key, one in rendered.items() if key not in ("apiVersion", "kind", "metadata")}
        fields = {**fields_of(body), "f:metadata": {"f:labels": fields_of(rendered["metadata"]["labels"])}}
        live["metadata"]["managedFields"] = [
            {"manager": owner, "operation": "Apply" if owner == "ours" else "Update", "fieldsV1": fields}
            for owner in owners
        ]
        live["status"] = {"phase": "Active"}
        assert drift(rendered, live, "ours") == []


def test_drift_says_who_added_what_once_and_pending_only_what_an_apply_would_change() -> None:
    live = deployment()
    live["spec"]["minReadySeconds"] = 5
    live["metadata"]["labels"]["old"] = "yes"
    api(live)["env"].append({"name": "DEBUG", "value": "1"})
    owned = {"f:k": {}}
    variable = {'k:{"name":"DEBUG"}': {".": {}, "f:name": {}, "f:value": {}}}
    container = {'k:{"name":"api"}': {"f:env": variable}}
    spec = {"f:minReadySeconds": {}, "f:template": {"f:spec": {"f:containers": container}}}
    live["metadata"]["managedFields"] = [
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": spec}},
        {"manager": "ours", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {"f:old": {}}, **owned}}},
    ]
    assert [(one.field, one.expected, one.found) for one in drift(deployment(), live, "ours")] == [
        (f"{POD}.containers[api].env[DEBUG]", "absent", "set by kubectl-edit"),
        ("metadata.labels.old", "absent", "set"),
        ("spec.minReadySeconds", "absent", "set by kubectl-edit"),
    ]
    assert [one.field for one in pending(deployment(), live, "ours")] == [
        f"{POD}.containers[api].env[DEBUG]",
        "metadata.labels.old",
    ]
    assert b'"1"' not in canonical([one.model_dump() for one in drift(deployment(), live, "ours")])
