"""Applying documents in waves, and waiting for each with the kinds' own rules; the first hopeless one ends it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cortex_ops.adapters.cluster import MANAGER, Cluster, ClusterError
from cortex_ops.kernel.clock import Clock
from cortex_ops.kernel.errors import DeadlineError, OpsError, RefusedError
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.redact import redact
from cortex_ops.targets.kubernetes.events import LogSource, explain, log_sources
from cortex_ops.targets.kubernetes.kinds import kind_of
from cortex_ops.targets.kubernetes.objects import WORKLOADS, Document, Ref
from cortex_ops.targets.kubernetes.ownership import Field, applied, foreign, taken_over
from cortex_ops.targets.kubernetes.pods import Budget, earlier, newest, stuck
from cortex_ops.targets.kubernetes.waves import waves

HANDOVER = "cortex-ops-handover"  # keeps `replicas` for an autoscaler while we let go of it
POLL_S = 0.5
UNSCHEDULABLE_S = 30.0  # a node may come; an autoscaler of nodes has its own, longer deadline to be set
TAIL = 25
LINE = 500  # characters of one line of a log that are shown
TRIES = 20  # to change an object that others change at the same time
TRY_S = 0.1
NAMES_S = 30.0  # for so long, where nothing else is set, a cluster's DNS answers what it answered before


@dataclass
class Rollout:
    """One application of documents. `labels` select what is ours in the namespace; `force` takes over fields that
    another manager owns."""

    cluster: Cluster
    namespace: str
    labels: str
    clock: Clock
    deadline: float
    restart_budget: int
    force: bool
    say: Callable[[str], None] = lambda _text: None
    least: dict[str, int] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)  # uids of all pods that there were

    def run(self, documents: Sequence[Document], calls: Mapping[str, Sequence[str]]) -> None:
        """Apply and wait, wave by wave."""
        end = self.clock.monotonic() + self.deadline
        pods = self._pods()
        forgiven = earlier(pods)
        anew = self._made_anew(documents, pods)
        scaled = [one["spec"] for one in documents if one["kind"] == "HorizontalPodAutoscaler"]
        self.least = {one["scaleTargetRef"]["name"]: one["minReplicas"] for one in scaled}
        for wave in waves(documents, calls):
            at_once([functools.partial(self.apply, one) for one in wave])
            waited = [one for one in wave if one["kind"] in WORKLOADS]
            if waited:
                self._wait(waited, end, forgiven)
        # A Service comes before its pods, and is of use when it leads to them.
        selected = [one for one in documents if one["kind"] == "Service" and _has_workload(one, documents)]
        if selected:
            self._wait(selected, end, forgiven)
        if anew:
            self.say(
                f"  {', '.join(anew)} had to be made anew: its old address is remembered for up to {NAMES_S:g} s"
            )
            self.clock.sleep(NAMES_S)

    def _made_anew(self, documents: Sequence[Document], pods: Sequence[Document]) -> list[str]:
        """Services that are not there although their pods are: somebody deleted them, and they get new addresses."""
        running = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        services = [one for one in documents if one["kind"] == "Service" and _selects(one, running)]
        found = at_once([functools.partial(self.cluster.get, self.cluster.path_of(one)) for one in services])
        return [Ref.of(one).label() for one, live in zip(services, found, strict=True) if live is None]

    # -- applying --------------------------------------------------------------------------------------------
    def apply(self, document: Document) -> Document:
        """One object; what others have set in it goes when we may take it over."""
        live = self.cluster.get(self.cluster.path_of(document))
        if live is not None and self.force:
            self._take_over(document, live)
        if document["kind"] == "Deployment" and "replicas" not in document["spec"]:
            self._hand_over(document, live)
        return apply(self.cluster, document, force=self.force)

    def _take_over(self, document: Document, live: Document) -> None:
        """What others have set in it is ours to take away then. Whoever writes its status makes it another object
        than was read; it is read again then."""
        now: Document | None = live
        for _ in range(TRIES):
            fields = others(document, now) if now is not None else []
            if now is None or not fields:
                return
            version = {"op": "test", "path": "/metadata/resourceVersion", "value": now["metadata"]["resourceVersion"]}
            entries = {"op": "replace", "path": "/metadata/managedFields", "value": taken_over(now, fields, MANAGER)}
            try:
                self.cluster.patch(document, [version, entries], repeat=True)
            except ClusterError as error:
                if error.status not in (404, 409, 422):
                    raise
                refusal = error
            else:
                return
            self.clock.sleep(TRY_S)
            now = self.cluster.get(self.cluster.path_of(document))
        one = fields[0]
        raise OpsError(f"{one.object}: {one.path}, set by {one.manager}, cannot be taken over: {refusal.message}")

    def _hand_over(self, document: Document, live: Document | None) -> None:
        """An autoscaler is to own `replicas`. Who owned it and then leaves it out sets it back to 1, so another name
        holds its present value first. A new one begins with the least that the autoscaler asks for."""
        if live is None:
            least = self.least.get(document["metadata"]["name"], 1)
            began = {**document, "spec": {**document["spec"], "replicas": least}}
            live = apply(self.cluster, began, force=self.force)
        if _owns_replicas(live):
            metadata = {key: document["metadata"][key] for key in ("name", "namespace")}
            held = {"apiVersion": document["apiVersion"], "kind": document["kind"], "metadata": metadata}
            self.cluster.apply({**held, "spec": {"replicas": live["spec"]["replicas"]}}, manager=HANDOVER)

    # -- waiting ---------------------------------------------------------------------------------------------
    def _pods(self) -> list[Document]:
        found = self.cluster.items(f"/api/v1/namespaces/{self.namespace}/pods", self.labels)
        self._seen |= {pod["metadata"]["uid"] for pod in found}
        return found

    def _ended(self, pods: Sequence[Document]) -> set[str]:
        """Uids of those that this rollout has seen, and that are gone or told to end."""
        return self._seen - {pod["metadata"]["uid"] for pod in pods if not pod["metadata"].get("deletionTimestamp")}

    def _slices(self) -> list[Document]:
        return self.cluster.items(f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices")

    def _wait(self, documents: Sequence[Document], end: float, forgiven: dict[str, int]) -> None:
        waiting = list(documents)
        while True:
            pods = self._pods()
            ended = self._ended(pods)
            sets = self.cluster.items(f"/apis/apps/v1/namespaces/{self.namespace}/replicasets", self.labels)
            slices = self._slices() if any(one["kind"] == "Service" for one in waiting) else []
            budget = Budget(
                restarts=self.restart_budget,
                forgiven=forgiven,
                unschedulable=UNSCHEDULABLE_S,
                now=self.clock.now(),
            )
            said: list[str] = []
            for document in list(waiting):
                live = self.cluster.get(self.cluster.path_of(document))
                label = Ref.of(document).label()
                if live is None:
                    raise OpsError(f"{label} was deleted while it was waited for")
                live = by_our_deadline(live)
                mine, kind = newest(live, pods, sets), kind_of(live, slices=slices, ended=ended)
                if kind.done(live, mine):
                    waiting.remove(document)
                    continue
                if cause := kind.failed(live, mine, budget):
                    raise self.failure(cause, mine, OpsError)
                for pod in stuck(live, pods):
                    self.cluster.delete(pod, uid=pod["metadata"]["uid"])
                said.append(f"{label}: {kind.waits_for(live, mine)}")
            if not waiting:
                return
            if self.clock.monotonic() > end:
                mine = [pod for pod in pods if any(_is_of(pod, one) for one in waiting)]
                text = f"{'; '.join(said)}; not ready within {self.deadline:g} s"
                raise self.failure(text, mine, DeadlineError)
            self.clock.sleep(POLL_S)

    def failure(self, cause: str, pods: Sequence[Document], kind: type[OpsError]) -> OpsError:
        """With the events of these pods and of what made them, and the last lines that they wrote."""
        try:
            names = {pod["metadata"]["name"] for pod in pods}
            names |= {o["name"] for pod in pods for o in pod["metadata"].get("ownerReferences") or []}
            events = self.cluster.items(f"/api/v1/namespaces/{self.namespace}/events")
            events = [one for one in events if (one.get("involvedObject") or {}).get("name") in names]
            details = explain(events, last_words(self.cluster, log_sources(pods)[:4], TAIL))
        except OpsError:
            details = []
        return kind(redact(cause), details=details)


def last_words(cluster: Cluster, sources: Sequence[LogSource], tail: int) -> dict[str, list[str]]:
    """The last `tail` lines of each log, by its label; all at once, since a node that is away lets one wait."""

    def read(one: LogSource) -> list[str]:
        return shown(cluster.last_words(one.namespace, one.pod, one.container, previous=one.previous, tail=tail))

    logs = at_once([functools.partial(read, one) for one in sources])
    return {one.label(): lines for one, lines in zip(sources, logs, strict=True) if lines or not one.may}


def shown(log: str) -> list[str]:
    """The lines of a log, without known secrets and not longer than a person reads: programs write what they like."""
    lines = [line.rstrip() for line in redact(log).splitlines() if line.strip()]
    return [line if len(line) <= LINE else f"{line[:LINE]}…" for line in lines]


def by_our_deadline(live: Document) -> Document:
    """Without the controller's own verdict on time. Its clock is not set back when an earlier ReplicaSet returns, so
    that going back from what was too late is too late as well; ours counts from what we applied."""
    status = live.get("status") or {}
    said = status.get("conditions") or []
    kept = [
        one for one in said if (one.get("type"), one.get("reason")) != ("Progressing", "ProgressDeadlineExceeded")
    ]
    return live if len(kept) == len(said) else {**live, "status": {**status, "conditions": kept}}


def apply(cluster: Cluster, document: Document, *, force: bool, dry_run: bool = False) -> Document:
    """Server-side apply; what the server refuses is said in a sentence that names the object first."""
    label = Ref.of(document).label()
    try:
        return cluster.apply(document, force=force, dry_run=dry_run)
    except ClusterError as error:
        raise refused(label, error) from error


def others(document: Document, live: Document) -> list[Field]:
    """What other managers have set in it, and is not theirs to set."""
    return foreign(document, live, MANAGER, (HANDOVER,))


def refused(label: str, error: ClusterError) -> OpsError:
    """Of a refusal by the API server: whose fields, which field, which rule."""
    if error.status == 409 and error.reason == "Conflict" and error.causes:
        fields = ", ".join(f"{one.get('field')} ({_manager(str(one.get('message')))})" for one in error.causes[:4])
        return RefusedError(
            f"{label}: fields of it belong to another manager: {fields}",
            remedy="let that one go, or set `drift: correct` for this environment, which takes them over",
        )
    if error.status == 422 and "immutable" in error.message:
        return RefusedError(
            f"{label}: a field that cannot change once it was made would change: {_short(error.message)}",
            remedy="give it another name, or delete it by hand when what it holds may go",
        )
    return OpsError(f"{label}: the cluster refuses it: {_short(error.message)}", remedy=error.remedy)


def _manager(message: str) -> str:
    """`conflict with "kubectl-edit" using apps/v1` → `kubectl-edit`."""
    return message.split('"')[1] if message.count('"') >= 2 else message


def _short(text: str) -> str:
    return text if len(text) < 400 else f"{text[:399]}…"


def _owns_replicas(live: Document) -> bool:
    return any("f:replicas" in fields.get("f:spec", {}) for fields in applied(live, MANAGER))


def _has_workload(service: Document, documents: Sequence[Document]) -> bool:
    return _selects(service, [one["spec"]["template"] for one in documents if one["kind"] in WORKLOADS])


def _selects(service: Document, pods: Sequence[Document]) -> bool:
    wanted = (service.get("spec") or {}).get("selector") or {}
    return any(wanted and wanted.items() <= (one["metadata"].get("labels") or {}).items() for one in pods)


def _is_of(pod: Document, workload: Document) -> bool:
    wanted = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or {"": ""}
    return bool(wanted.items() <= (pod["metadata"].get("labels") or {}).items())
