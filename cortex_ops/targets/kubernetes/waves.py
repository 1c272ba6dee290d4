"""In which waves objects are applied: each is waited for before the next, and nobody calls what is not there yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortex_ops.kernel.errors import OpsError
from cortex_ops.targets.kubernetes.objects import FOLLOWERS, WORKLOADS, Document, labels_of, order


def waves(documents: Sequence[Document], calls: Mapping[str, Sequence[str]]) -> list[list[Document]]:
    """First what holds the others, then what pods need, then stores, then services, callees before their callers;
    what follows a workload is applied after it in its own wave. `calls` are names of workloads (or of anything else,
    which is passed over) by their caller's. `OpsError` when some call each other in a circle."""
    out = [[one for one in documents if order(_kind(one)) == number] for number in (0, 1)]
    workloads = [one for one in documents if _kind(one) in WORKLOADS]
    stores = [one for one in workloads if _kind(one) == "StatefulSet"]
    services = [one for one in workloads if _kind(one) != "StatefulSet"]
    steps = [stores]
    for names in levels([_name(one) for one in services], calls):
        steps.append([one for one in services if _name(one) in names])
    followers = [one for one in documents if _kind(one) in FOLLOWERS]
    for step in steps:  # one that selects several workloads comes with the last of them
        mine = [one for one in followers if any(_follows(one, workload) for workload in step)]
        out = [[one for one in wave if one not in mine] for wave in out]
        out.append([*step, *mine])
    alone = [one for one in followers if not any(_follows(one, workload) for workload in workloads)]
    return [wave for wave in (*out, alone) if wave]


def levels(names: Sequence[str], calls: Mapping[str, Sequence[str]]) -> list[set[str]]:
    """The names in groups, each of which calls only into groups before it. `OpsError` names a circle."""
    known = set(names)
    todo = {name: (known & set(calls.get(name, ()))) - {name} for name in names}
    out: list[set[str]] = []
    done: set[str] = set()
    while todo:
        ready = {name for name, callees in todo.items() if callees <= done}
        if not ready:
            raise OpsError(f"these services call each other in a circle: {' → '.join(_circle(todo, done))}")
        out.append(ready)
        done |= ready
        todo = {name: callees for name, callees in todo.items() if name not in ready}
    return out


def _circle(todo: Mapping[str, set[str]], done: set[str]) -> list[str]:
    """Everyone who is left waits for someone who is left, so following them comes round."""
    walked = [min(todo)]
    while True:
        following = min(todo[walked[-1]] - done)
        if following in walked:
            return [*walked[walked.index(following) :], following]
        walked.append(following)


def _follows(follower: Document, workload: Document) -> bool:
    """An autoscaler names its workload; a disruption budget selects its pods."""
    spec = follower.get("spec") or {}
    if target := spec.get("scaleTargetRef"):
        return bool(target.get("kind") == _kind(workload) and target.get("name") == _name(workload))
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    has = labels_of((workload.get("spec") or {}).get("template") or {})
    return bool(wanted) and wanted.items() <= has.items()


def _kind(document: Document) -> str:
    return str(document.get("kind"))


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])
