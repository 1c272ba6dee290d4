"""What people read of a rollout before it happens."""

from __future__ import annotations

import copy
from typing import Any

from cortex_ops.targets.kubernetes.diff import Diff, diff
from cortex_ops.targets.kubernetes.objects import Ref

Document = dict[str, Any]


def thing(kind: str, name: str, **fields: Any) -> Document:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, **fields}


def test_a_difference_names_what_is_made_what_changes_and_what_goes() -> None:
    service = thing("Service", "api", spec={"type": "ClusterIP", "ports": [{"port": 80}]})
    live = copy.deepcopy(service)
    live["spec"]["type"] = "NodePort"
    live["spec"]["ports"][0]["targetPort"] = 9
    service["spec"]["ports"][0]["targetPort"] = 8080
    same = thing("ConfigMap", "same", data={"a": "1"})
    found = diff(
        [service, same, thing("Service", "web")], [live, same], "ours", [Ref.of(thing("Secret", "api-0123"))]
    )
    assert found.text() == (
        "1 created, 1 changed, 1 removed, 1 unchanged\n"
        "+ Service web\n"
        "~ Service api\n"
        "    spec.type: NodePort → ClusterIP\n"
        "    spec.ports[80/TCP].targetPort: 9 → 8080\n"
        "- Secret api-0123\n"
    )
    assert found.markdown().startswith(
        "**1 created, 1 changed, 1 removed, 1 unchanged**\n\n~~~~diff\n+ Service web\n"
    )
    assert Diff.from_json(found.to_json()) == found


def test_no_difference_is_one_line() -> None:
    one = thing("Service", "api", spec={})
    found = diff([one], [one], "ours")
    assert found.empty()
    assert found.text() == "1 unchanged\n"
    assert found.markdown() == "**1 unchanged**\n"
    assert diff([], [], "ours").text() == "nothing\n"


def test_a_secret_is_named_and_not_shown() -> None:
    want, have = (thing("Secret", "api", data={"password": value}) for value in ("bmV3LXNlY3JldA==", "b2xk"))
    text = diff([want], [have], "ours").text()
    assert "    data.password: (redacted), not equal → (redacted)\n" in text
    assert "b2xk" not in text + str(diff([want], [have], "ours").to_json())


def test_a_long_difference_is_cut_and_says_so() -> None:
    want = thing("ConfigMap", "big", data={f"k{number}": "x" * 5000 for number in range(500)})
    found = diff([want], [thing("ConfigMap", "big", data={})], "ours")
    assert len(found.to_json()) < 300_000
    text = found.text(limit=50)
    assert text.splitlines()[-1] == "… and 451 more lines"
    assert len(text) < 10_000


def test_a_value_of_several_lines_cannot_leave_its_block() -> None:
    want = thing("ConfigMap", "x", data={"a": "one\n~~~~\n# head"})
    shown = diff([want], [thing("ConfigMap", "x", data={"a": "0"})], "ours").markdown()
    assert "    data.a: 0 → one ~~~~ # head\n" in shown
