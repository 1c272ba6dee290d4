"""Pods: which belong to the newest revision, which of them are doomed, and what the others wait for.

What is final follows krane's pod class and the kubelet's own reasons (see `causes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cortex_ops.kernel.values import Value
from cortex_ops.targets.kubernetes.causes import image_cause, refusal, short, start_cause
from cortex_ops.targets.kubernetes.objects import Document, annotations_of, condition, labels_of

REVISION = "deployment.kubernetes.io/revision"
# The node's own affairs, not the pod's: whoever made it makes another.
_TRANSIENT = ("Evicted", "Preempting", "Preempted", "Shutdown", "NodeShutdown", "Terminated", "NodeLost")


class Budget(Value):
    """How much is forgiven. `forgiven` is what went wrong before (`earlier`); a pod may be without a node for
    `unschedulable` seconds (None: until the deadline), told by `now`."""

    restarts: int = 3
    forgiven: dict[str, int] = {}
    unschedulable: float | None = None
    now: datetime | None = None


def newest(live: Document, pods: Iterable[Document], replica_sets: Iterable[Document] = ()) -> list[Document]:
    """Those of the object's newest revision, by name; only these can doom a rollout. None as long as the controller
    has not said which revision that is. Pods on their way out do not count."""
    if live["kind"] == "Deployment":
        label, value = "pod-template-hash", _newest_hash(live, replica_sets)
    elif live["kind"] == "StatefulSet":
        label, value = "controller-revision-hash", (live.get("status") or {}).get("updateRevision") or ""
    else:
        label, value = "", ""
    uid = live["metadata"].get("uid", "")
    mine = [
        pod
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        and (labels_of(pod).get(label) == value if value else not label and _owned(pod, uid))
    ]
    return sorted(mine, key=lambda pod: str(pod["metadata"]["name"]))


def _newest_hash(deployment: Document, replica_sets: Iterable[Document]) -> str:
    revision, uid = annotations_of(deployment).get(REVISION), deployment["metadata"].get("uid", "")
    for one in replica_sets:
        if revision and annotations_of(one).get(REVISION) == revision and _owned(one, uid):
            return labels_of(one).get("pod-template-hash", "")
    return ""


def stuck(live: Document, pods: Iterable[Document]) -> list[Document]:
    """Pods of an earlier revision of a StatefulSet that are not ready. Its controller waits for them before it
    replaces any, so that a broken one outlives even its own correction until somebody deletes it (the API's
    documentation calls that a forced rollback). Nothing as long as the controller has not seen the change."""
    status = live.get("status") or {}
    revision = status.get("updateRevision")
    if live["kind"] != "StatefulSet" or not revision or not seen(live):
        return []
    old = [pod for pod in pods if labels_of(pod).get("controller-revision-hash", revision) != revision]
    old = [pod for pod in old if not pod["metadata"].get("deletionTimestamp") and not condition(pod, "Ready")]
    return [pod for pod in old if _owned(pod, live["metadata"].get("uid", ""))]


def seen(live: Document) -> bool:
    """Whether its controller has seen the last change: until then its status speaks of what was before."""
    generation = live["metadata"].get("generation", 0)
    return bool(generation <= (live.get("status") or {}).get("observedGeneration", 0))


def _owned(document: Document, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in document["metadata"].get("ownerReferences") or [])


def earlier(pods: Iterable[Document]) -> dict[str, int]:
    """What a rollout that begins now forgives: restarts of each container so far, and pods that have failed."""
    out: dict[str, int] = {}
    for pod in pods:
        out |= {_key(pod, status["name"]): status.get("restartCount", 0) for status in statuses(pod)}
        if _failed(pod):
            out[_key(pod)] = 1
    return out


def _key(pod: Document, container: str = "") -> str:
    return f"{pod['metadata'].get('uid', '')}/{container}"


def _failed(pod: Document) -> bool:
    return (pod.get("status") or {}).get("phase") == "Failed"


def statuses(pod: Document) -> Iterator[Document]:
    """Of its init containers first, as they run first."""
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def restarts(pod: Document) -> bool:
    """Whether a container of it that fails is started again."""
    return (pod.get("spec") or {}).get("restartPolicy", "Always") != "Never"


def doomed(pod: Document, restart_budget: int, forgiven: Mapping[str, int] | None = None) -> str:
    """Why this pod will never be ready, or "" while there is hope. The budget is in restarts of one container."""
    if pod["metadata"].get("deletionTimestamp") or transient(pod):
        return ""
    for status in statuses(pod):
        state = status.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        where = f"container {status['name']} of pod {pod['metadata']['name']}"
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        image = _image(pod, status)
        if cause := image_cause(reason, message, image):
            detail = f": {short(message)}" if message else ""
            return f"{where} cannot have its image {image}: {cause}{detail}"
        last = ended or ((status.get("lastState") or {}).get("terminated") or {} if waiting else {})
        cause = start_cause(reason, message) or start_cause(last.get("reason", ""), last.get("message", ""))
        if cause:
            return f"{where}: {cause}"
        count = status.get("restartCount", 0) - (forgiven or {}).get(_key(pod, status["name"]), 0)
        crashed = reason == "CrashLoopBackOff" or (restarts(pod) and ended.get("exitCode", 0) != 0)
        if crashed and count >= restart_budget:  # the last restart that it had has ended, too
            return f"{where} keeps crashing ({_end(pod, status, last)}, {count} restarts)"
    return ""


def crashed(pods: Iterable[Document], before: Mapping[str, int], budget: int) -> str:
    """Which container has ended since `before` was counted (`earlier`), when all were ready; or "". One of a pod that
    was made since then is in its start, and has the start's budget of restarts."""
    for pod in pods:
        if pod["metadata"].get("deletionTimestamp") or transient(pod):
            continue
        for status in statuses(pod):
            key = _key(pod, status["name"])
            more = status.get("restartCount", 0) - before.get(key, 0)
            if more > (0 if key in before else budget):
                last = (status.get("lastState") or {}).get("terminated") or {}
                times = f", {more} times" if more > 1 else ""
                where = f"container {status['name']} of pod {pod['metadata']['name']}"
                return f"{where} was ready and has ended ({_end(pod, status, last)}{times})"
    return ""


def transient(pod: Document) -> bool:
    """Whether its node took its place away; another is made elsewhere."""
    return (pod.get("status") or {}).get("reason", "") in _TRANSIENT or bool(condition(pod, "DisruptionTarget"))


def rejected(pods: Sequence[Document], budget: int, forgiven: Mapping[str, int] | None = None) -> str:
    """Why it is over when more than `budget` pods ended as a whole: their nodes would not take them (OutOfcpu,
    NodeAffinity, UnexpectedAdmissionError …). One is chance, since another is made; the next may fit. Only of pods
    that should run for ever: a Job counts its own."""
    ended = [pod for pod in pods if _failed(pod) and not transient(pod) and _key(pod) not in (forgiven or {})]
    if len(ended) <= budget:
        return ""
    status = ended[-1]["status"]
    why = ": ".join(one for one in (status.get("reason", ""), short(status.get("message", ""))) if one)
    before = f", and {len(ended) - 1} before it" if len(ended) > 1 else ""
    return f"pod {ended[-1]['metadata']['name']} was rejected{before} ({why or 'no reason'})"


def unschedulable(pod: Document, *, grace: float | None = None, now: datetime | None = None) -> str:
    """Why it has no node, or "". With a `grace` (seconds) only when it has had none for longer: a cluster that grows
    needs a while for another node."""
    found = condition(pod, "PodScheduled", "False")
    if found.get("reason") not in ("Unschedulable", "SchedulingGated"):
        return ""
    if grace is not None and _since(found, now) <= grace:
        return ""
    return f"pod {pod['metadata']['name']} has no node: {short(found.get('message', '')) or found['reason']}"


def _since(found: Document, now: datetime | None) -> float:
    """Seconds that a condition has been what it is; 0 when it does not say."""
    if not found.get("lastTransitionTime"):
        return 0.0
    return ((now or datetime.now(UTC)) - datetime.fromisoformat(found["lastTransitionTime"])).total_seconds()


def replica_failure(owner: Document) -> str:
    """Why the pods of a ReplicaSet (its Deployment says the same) are not even made, or "" when the next try may be
    admitted: a quota, Pod Security, a policy of the cluster."""
    found = condition(owner, "ReplicaFailure")
    message = refusal(found.get("message", ""))
    return f"{owner['kind']} {owner['metadata']['name']} may not make pods: {message}" if message else ""


def doom(pods: Sequence[Document], budget: Budget) -> str:
    """The first reason why these pods will not be ready, or "". They are of one object's newest revision."""
    for pod in pods:
        if said := doomed(pod, budget.restarts, budget.forgiven):
            return said
        grace = budget.unschedulable
        if grace is not None and (said := unschedulable(pod, grace=grace, now=budget.now)):
            return said
    return ""


def waits(pods: Iterable[Document]) -> str:
    """What the first pod that is not ready waits for, as a clause; "" when all are ready."""
    for pod in pods:
        if condition(pod, "Ready") or (pod.get("status") or {}).get("phase") == "Succeeded":
            continue
        return unschedulable(pod) or _waits(pod)
    return ""


def _waits(pod: Document) -> str:
    name = pod["metadata"]["name"]
    for status in statuses(pod):
        state = status.get("state") or {}
        where = f"container {status['name']} of pod {name}"
        if waiting := state.get("waiting"):
            message = short(waiting.get("message", ""))
            why = waiting.get("reason", "") or "a reason that nobody gives"
            last = (status.get("lastState") or {}).get("terminated")
            crashed = f" ({_end(pod, status, last)})" if last else ""
            return f"{where} waits: {why}{crashed}{f': {message}' if message else ''}"
        if (ended := state.get("terminated")) and ended.get("exitCode", 0) != 0:
            return f"{where} has ended ({_end(pod, status, ended)})"
        if "running" in state and not status.get("ready"):
            if status in ((pod["status"].get("initContainerStatuses")) or []):
                return f"init {where} has not ended"
            lacks = "has not passed its startup probe" if status.get("started") is False else "is not ready"
            return f"{where} runs and {lacks}"
    status = pod.get("status") or {}
    if status.get("reason"):
        return f"pod {name} has ended: {status['reason']}: {short(status.get('message', ''))}".removesuffix(": ")
    if node := (pod.get("spec") or {}).get("nodeName"):
        if not any(statuses(pod)):
            return f"node {node} has not begun with pod {name}"
        if status.get("phase") == "Running":
            return f"pod {name} runs and counts as not ready: does its node {node} answer?"
    return f"pod {name} is {status.get('phase', 'not seen by any node')}"


def last_end(pods: Iterable[Document]) -> str:
    """How the container that ended last without success ended, of all these pods; "" when none did."""
    latest, said = "", ""
    for pod in pods:
        for status in statuses(pod):
            ended = (status.get("state") or {}).get("terminated") or {}
            if ended.get("exitCode", 0) != 0 and ended.get("finishedAt", "") >= latest:
                where = f"container {status['name']} of pod {pod['metadata']['name']}"
                latest, said = ended.get("finishedAt", ""), f"{where} ended ({_end(pod, status, ended)})"
    return said


def _end(pod: Document, status: Document, ended: Document) -> str:
    if ended.get("reason") == "OOMKilled":
        limit = ((_spec(pod, status).get("resources") or {}).get("limits") or {}).get("memory", "")
        return f"it used more memory than its limit{f' of {limit}' if limit else ''}"
    if ended.get("signal"):
        return f"signal {ended['signal']}"
    return f"exit {ended['exitCode']}" if "exitCode" in ended else "no exit code"


def _spec(pod: Document, status: Document) -> Document:
    spec = pod.get("spec") or {}
    containers = [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]
    return next((one for one in containers if one.get("name") == status["name"]), {})


def _image(pod: Document, status: Document) -> str:
    """As it was asked for; a status may name it otherwise once it was pulled."""
    return _spec(pod, status).get("image") or status.get("image", "")
