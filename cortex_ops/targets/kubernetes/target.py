"""One environment in one namespace of a cluster. See `targets.protocol.Target`.

A release replaces the one before it by rolling updates, so the candidate takes traffic as it becomes ready; what the
switch adds is the record of it, the exact policies, and the removal of what is rendered no more. Every document can
be applied by a person with kubectl; this class adds waves, reasons, hand-over, comparison and narrow removal.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from cortex_ops.adapters.cluster import MANAGER, Cluster, ClusterError
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.values import Change, ImageLock, Placed
from cortex_ops.render.kubernetes.common import COMPONENT, MANAGED_BY, PART_OF
from cortex_ops.render.kubernetes.common import NAME as NAME_LABEL
from cortex_ops.render.yaml_output import read_all_yaml, read_yaml
from cortex_ops.targets.kubernetes.compare import drift
from cortex_ops.targets.kubernetes.diff import diff
from cortex_ops.targets.kubernetes.events import log_sources
from cortex_ops.targets.kubernetes.jobs import JobRun
from cortex_ops.targets.kubernetes.kinds import kind_of
from cortex_ops.targets.kubernetes.lease import KubernetesLease
from cortex_ops.targets.kubernetes.objects import WORKLOADS, Document, Ref, condition, labels_of
from cortex_ops.targets.kubernetes.ownership import applied
from cortex_ops.targets.kubernetes.pods import crashed, earlier, newest
from cortex_ops.targets.kubernetes.preflight import architectures, basics, findings, names_taken, platforms
from cortex_ops.targets.kubernetes.prune import PROTECTED, prune_plan
from cortex_ops.targets.kubernetes.rollout import HANDOVER, Rollout, apply, last_words
from cortex_ops.targets.kubernetes.secrets import SecretObjects
from cortex_ops.targets.kubernetes.state import NAME as STATE_NAME
from cortex_ops.targets.kubernetes.state import State, StateObject
from cortex_ops.targets.protocol import JobResult, Live, Pruned

RELEASE_LABEL = "cortex-ops.org/release"
RUN_LABEL = "cortex-ops.org/run"
_AUTOSCALER = ("autoscaling/v2", "HorizontalPodAutoscaler")
# Kinds that are looked for even when nothing of them is rendered: what an earlier release had.
_LOOKED_FOR = (
    ("v1", "ServiceAccount"),
    ("v1", "ConfigMap"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    _AUTOSCALER,
    ("policy/v1", "PodDisruptionBudget"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
)


class KubernetesTarget:
    """`stack` is the system's name; `namespace` holds one environment of it; `force` takes over fields that other
    managers own."""

    tests_before_traffic = False  # a rolling update is the switch; a rejected release is rolled back

    def __init__(
        self,
        cluster: Cluster,
        stack: str,
        environment: str,
        namespace: str,
        *,
        run_id: str = "",
        progress: Progress = SILENT,
        clock: Clock = SYSTEM,
        start_deadline: float = 180.0,
        restart_budget: int = 2,
        force: bool = True,
    ) -> None:
        self.cluster, self.stack, self.environment, self.namespace = cluster, stack, environment, namespace
        self.run_id, self.progress, self.clock = run_id, progress, clock
        self.start_deadline, self.restart_budget, self.force = start_deadline, restart_budget, force
        labels = {PART_OF: stack, MANAGED_BY: MANAGER}
        self.selector = ",".join(f"{key}={value}" for key, value in labels.items())
        self.lease = KubernetesLease(cluster, namespace, labels, clock)
        self._state = StateObject(cluster, namespace, labels)
        self._secrets = SecretObjects(cluster, namespace, labels)

    # -- documents -----------------------------------------------------------------------------------------
    def _documents(self, placed: Placed) -> list[Document]:
        """Everything but jobs."""
        files = sorted(name for name in placed.bundle.files if name.endswith(".yaml") and "/" not in name)
        return [one for name in files for one in read_all_yaml(placed.bundle.files[name])]

    def _rollout(self) -> Rollout:
        return Rollout(
            self.cluster,
            self.namespace,
            self.selector,
            self.clock,
            self.start_deadline,
            self.restart_budget,
            self.force,
            say=self.progress.say,
        )

    # -- looking -------------------------------------------------------------------------------------------
    def capabilities(self) -> dict[str, str]:
        """What the rendering depends on."""
        istio = self.cluster.served("networking.istio.io/v1")
        return {"istio": "yes" if "ServiceEntry" in istio else "no"}

    def preflight(self, placed: Placed) -> list[str]:
        documents = self._documents(placed)
        return (
            self.lock_findings(placed.lock)
            or basics(self.cluster, self.namespace, documents)
            or names_taken(self.cluster, documents, self.stack)
            or findings(self.cluster, self.namespace, self._left_to_scalers(documents), self.force)
        )

    def lock_findings(self, lock: ImageLock) -> list[str]:
        local = [
            f"{name}: its image is only in engine {ref.engine_id or 'of a machine'}, which a cluster cannot reach; "
            "set CORTEX_OPS_REGISTRY and build again"
            for name, ref in sorted(lock.images.items())
            if not ref.repository
        ]
        return local or platforms(lock, architectures(self.cluster))

    def live(self) -> Live:
        state = self._state.read()
        return Live(release=state.live, slot=_slot(state.live), candidate=_slot(state.candidate))

    def drift(self, placed: Placed, serves: int) -> list[Change]:
        rendered = self._documents(placed)
        found = self._present_objects(rendered)
        now = {Ref.of(one).key(): one for one in found}
        changes: list[Change] = []
        for document in rendered:
            changes += drift(document, now.pop(Ref.of(document).key(), None), MANAGER, (HANDOVER,))
        for stray in now.values():
            if stray["kind"] not in PROTECTED:
                changes.append(Change(object=Ref.of(stray).label(), field="object", expected="absent", found="there"))
        for workload in (one for one in found if one["kind"] in WORKLOADS):
            if lacks := kind_of(workload).waits_for(workload, ()):
                changes.append(Change(object=Ref.of(workload).label(), field="state", expected="ready", found=lacks))
        state = self._state.read()
        if state.applied != f"r{serves}":
            changes.append(
                Change(object=self.namespace, field="release", expected=f"r{serves}", found=state.applied or "none")
            )
        return changes

    def difference(self, placed: Placed) -> str:
        documents = self._documents(placed)
        try:
            found = self._present_objects(documents)
        except ClusterError as error:
            if error.status != 403:
                raise
            return f"_what is live may not be read: {error.message}_"  # preflight lists every right that lacks
        plan = prune_plan(_adopted(self._state.read().inventory, found), documents, found)
        return diff(documents, found, MANAGER, [one.ref for one in plan if one.remove]).markdown()

    def _present_objects(self, rendered: Sequence[Document]) -> list[Document]:
        """Ours in the namespace (not what a controller made of ours), and the namespace itself."""
        kinds = list(dict.fromkeys([*((d["apiVersion"], d["kind"]) for d in rendered), *_LOOKED_FOR]))
        tasks = [functools.partial(self._listed, api, kind) for api, kind in kinds if kind != "Namespace"]
        found = [one for items in at_once(tasks) for one in items]
        space = self.cluster.get(f"/api/v1/namespaces/{self.namespace}")
        if space is not None:
            found.append({"apiVersion": "v1", "kind": "Namespace", **space})
        return [one for one in found if one["metadata"]["name"] != STATE_NAME]

    def _listed(self, api: str, kind: str) -> list[Document]:
        if kind not in self.cluster.served(api):
            return []
        items = self.cluster.items(self.cluster.collection(api, kind, self.namespace), self.selector)
        # The items of a list do not say what they are.
        whole = [{"apiVersion": api, "kind": kind, **one} for one in items]
        return [one for one in whole if not one["metadata"].get("ownerReferences")]

    def present(self, seq: int) -> bool:
        if self._state.read().applied != f"r{seq}":
            return False
        found = [*self._listed("apps/v1", "Deployment"), *self._listed("apps/v1", "StatefulSet")]
        return bool(found) and all(kind_of(one).done(one, ()) for one in found)

    def releases(self) -> list[int]:
        """What is live, what is or was being applied, and what has jobs."""
        state = self._state.read()
        jobs = self.cluster.items(f"/apis/batch/v1/namespaces/{self.namespace}/jobs", self.selector)
        names = {state.live, state.applied, state.applying, *(labels_of(one).get(RELEASE_LABEL, "") for one in jobs)}
        return sorted({number for one in names if (number := _number(one))})

    def endpoints(self) -> dict[str, str]:
        """None: what publishes routes of a cluster is the cluster's own ingress."""
        return {}

    # -- changing ------------------------------------------------------------------------------------------
    def deliver_secrets(self, placed: Placed, values: dict[str, dict[str, Secret]]) -> None:
        for document in self._documents(placed):
            if document["kind"] == "Namespace":
                apply(self.cluster, document, force=self.force)
        self._secrets.deliver(self.stack, self.environment, placed.secret_versions, values)

    def prepare(self, placed: Placed, repair: Sequence[Change] = ()) -> None:
        """Everything but services: policies that suit both releases, accounts, hosts, stores until they are ready."""
        documents = self._documents(placed)
        self._begin(documents)
        self._rollout().run(self._widened([one for one in documents if not _is_service(one)]), {})

    def _begin(self, documents: Sequence[Document], applying: str = "") -> None:
        """From now on nothing is wholly applied, and what may be made is known."""
        state = self._state.read()
        # Whoever deleted the inventory did not delete what it listed: what our manager applied is ours.
        lost = [] if state.inventory else [one for one in self._present_objects(documents) if _applied_by_us(one)]
        state = state.model_copy(update={"inventory": (*state.inventory, *(Ref.of(one) for one in lost))})
        known = {one.key() for one in state.inventory}
        coming = [ref for ref in (Ref.of(one) for one in documents) if ref.key() not in known]
        self._state.write(
            state.model_copy(
                update={
                    "applied": "",
                    "applying": applying or state.applying,
                    "inventory": (*state.inventory, *coming),
                }
            )
        )

    def _widened(self, documents: Sequence[Document]) -> list[Document]:
        """Policies that allow what they allow now, too: the release before still runs, and calls whom it called."""
        out = []
        for document in documents:
            if document["kind"] == "NetworkPolicy":
                live = self.cluster.get(self.cluster.path_of(document))
                if live is not None and labels_of(live).get(PART_OF) == self.stack:
                    document = widened(document, live)
            out.append(document)
        return out

    def _left_to_scalers(self, documents: Sequence[Document]) -> list[Document]:
        """Without the number of replicas where an autoscaler of the release before still sets it: it does until it is
        pruned, and then the number is ours."""
        scaled = {_scales(one) for one in self._listed(*_AUTOSCALER)}
        return [_unscaled(one) if Ref.of(one).label() in scaled else one for one in documents]

    def apply(self, placed: Placed) -> None:
        """Services, callees before their callers; then everything of this release is there."""
        documents = self._documents(placed)
        self._begin(documents, f"r{placed.placement.seq}")
        services = [one for one in documents if _is_service(one)]
        self._rollout().run(self._left_to_scalers(services), calls_of(documents))
        self._applied(placed, documents)

    def _applied(self, placed: Placed, documents: Sequence[Document]) -> None:
        found = {Ref.of(one).key(): Ref.of(one) for one in self._present_objects(documents)}
        state = self._state.read()
        # An object that was made anew under its old name is another one.
        inventory = [found.get(one.key(), one) for one in state.inventory]
        done = {"applied": f"r{placed.placement.seq}", "applying": "", "inventory": tuple(inventory)}
        self._state.write(state.model_copy(update={**done, "restarts": earlier(self._pods())}))

    def _pods(self) -> list[Document]:
        return self.cluster.items(f"/api/v1/namespaces/{self.namespace}/pods", f"{self.selector},{COMPONENT}=service")

    def restore(self, before: Placed, tried: Placed) -> None:
        """The whole of `before` again, exactly; what only `tried` had is removed."""
        state = self._state.read()
        wanted = f"r{before.placement.seq}"
        if state.live not in (wanted, f"r{tried.placement.seq}"):  # somebody removed the record of it
            state = self._state.change(live=wanted)
        if state.applied == wanted and not state.applying:
            return  # nothing of `tried` was applied
        documents = self._documents(before)
        self._begin(documents, wanted)
        self._rollout().run(self._widened(self._left_to_scalers(documents)), calls_of(documents))
        self._applied(before, documents)
        self._exact(documents)
        self._prune(documents)

    def step_aside(self, before: Placed, candidate: Placed) -> None:
        """Nothing to do: what must not run twice is rendered with the strategy Recreate."""

    def step_back(self, before: Placed, candidate: Placed) -> None:
        """See `step_aside`."""

    def run_job(
        self, placed: Placed, job: str, *, deadline: float, on_line: Callable[[str], None] | None = None
    ) -> JobResult:
        text = placed.bundle.files.get(f"jobs/{job}.yaml")
        if text is None:
            return JobResult(code=None, output="", seconds=0.0, cause=f"the release has no job {job}")
        release = f"r{placed.placement.seq}"
        labels = {RELEASE_LABEL: release, RUN_LABEL: as_label(self.run_id)}
        result = JobRun(self.cluster, read_yaml(text), labels, self.clock).run(deadline, on_line)
        state = self._state.read()
        # What ended and was started again answers as if nothing had been, until it ends again.
        watched = result.code == 0 and state.applied == release
        if watched and (cause := crashed(self._pods(), state.restarts, self.restart_budget)):
            return result.model_copy(update={"code": None, "cause": f"{cause} while {job} ran"})
        return result

    # -- the switch ----------------------------------------------------------------------------------------
    def offer(self, placed: Placed) -> None:
        self._state.change(candidate=f"r{placed.placement.seq}")

    def retract_candidate(self) -> None:
        if self._state.read().candidate:
            self._state.change(candidate="")

    def switch(self, placed: Placed) -> None:
        """Recorded first: whoever finds it half done finds what is live, and prunes the rest."""
        release = f"r{placed.placement.seq}"
        if self._state.read().applied != release:
            raise OpsError(f"{self.namespace} does not hold {release} wholly, so it cannot become the live one")
        documents = self._documents(placed)
        there = {Ref.of(one).key() for one in self._present_objects(documents)}
        gone = [ref.label() for one in documents if (ref := Ref.of(one)).key() not in there]
        if gone:
            raise OpsError(f"{', '.join(gone)} was deleted since {release} was applied")
        self._state.change(live=release, candidate="")
        if (now := self._state.read().live) != release:
            raise OpsError(f"{self.namespace} did not take the switch to {release}: it says {now!r}")
        self._exact(documents)
        for problem in self._prune(documents).problems:
            self.progress.say(f"  not removed: {problem}", style="yellow")

    def _exact(self, documents: Sequence[Document]) -> None:
        policies = [one for one in documents if one["kind"] == "NetworkPolicy"]
        at_once([functools.partial(apply, self.cluster, one, force=self.force) for one in policies])

    def close(self) -> None:
        if self._state.read() != State():
            self._state.change(live="", candidate="")

    # -- removing ------------------------------------------------------------------------------------------
    def _prune(self, documents: Sequence[Document]) -> Pruned:
        """Remove what the inventory has and `documents` have not; then the inventory is what is left."""
        state = self._state.read()
        found = self._present_objects(documents)
        plan = prune_plan(_adopted(state.inventory, found), documents, found)
        removed, problems = self._remove(plan)
        unruled = {_scales(one) for one in found if one["kind"] == _AUTOSCALER[1] and Ref.of(one).label() in removed}
        for one in (one for one in documents if Ref.of(one).label() in unruled):
            apply(self.cluster, one, force=True)  # its number of replicas was the autoscaler's, which was ours
        wanted = {Ref.of(one).key() for one in documents}
        left = {Ref.of(one).key(): Ref.of(one) for one in found if Ref.of(one).key() in wanted}
        kept = [one for one in state.inventory if any(one.label() in text for text in problems)]
        self._state.write(state.model_copy(update={"inventory": (*left.values(), *kept)}))
        return Pruned(removed=tuple(removed), problems=tuple(problems))

    def _remove(self, plan: Iterable[Any]) -> tuple[list[str], list[str]]:
        removed, problems = [], []
        for decision in (one for one in plan if one.remove):
            ref = decision.ref
            metadata = {"name": ref.name, "namespace": ref.namespace}
            document = {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}
            try:
                self.cluster.delete(document, uid=ref.uid)
            except OpsError as error:
                problems.append(f"{ref.label()}: {error.message}")
            else:
                removed.append(ref.label())
        return removed, problems

    def remove(self, seq: int) -> Pruned:
        """A release's jobs; and its services, when nothing else is live here. What outlives releases stays."""
        removed = self._remove_jobs(f"{RELEASE_LABEL}=r{seq}")
        state = self._state.read()
        if state.live or f"r{seq}" not in (state.applied, state.applying):
            return Pruned(removed=tuple(removed))
        found = [one for one in self._present_objects([]) if _is_service(one)]
        mine = {Ref.of(one).key() for one in found}
        inventory = [one for one in state.inventory if one.key() in mine]
        more, problems = self._remove(prune_plan(_adopted(inventory, found), [], found))
        if not problems:
            left = tuple(one for one in state.inventory if one.key() not in mine)
            self._state.write(state.model_copy(update={"applied": "", "applying": "", "inventory": left}))
        return Pruned(removed=(*removed, *more), problems=tuple(problems))

    def _remove_jobs(self, more: str) -> list[str]:
        removed = []
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"
        for job in self.cluster.items(path, f"{self.selector},{more}"):
            self.cluster.delete({"apiVersion": "batch/v1", "kind": "Job", **job}, uid=job["metadata"]["uid"])
            removed.append(f"Job {job['metadata']['name']}")
        return removed

    def remove_volumes(self, keep: set[str]) -> Pruned:
        """Secrets of ours that no pod template names; the live objects say themselves which they need."""
        return self._secrets.remove_unused()

    def reap(self, alive: str) -> Pruned:
        label = as_label(alive) if alive else ""
        return Pruned(removed=tuple(self._remove_jobs(f"{RUN_LABEL},{RUN_LABEL}!={label}")))

    # -- logs ----------------------------------------------------------------------------------------------
    def logs(self, seq: int, lines: int = 25) -> dict[str, list[str]]:
        """Of the newest pods. One that was started again says in its life before why."""
        pods = self._pods()
        sets = self.cluster.items(f"/apis/apps/v1/namespaces/{self.namespace}/replicasets", self.selector)
        current = [pod for one in self._listed("apps/v1", "Deployment") for pod in newest(one, pods, sets)]
        sources = [one for pod in sorted(current, key=_ready) for one in log_sources([pod])]
        return last_words(self.cluster, sources, lines)


def _scales(autoscaler: Document) -> str:
    """The label of what it scales."""
    to = autoscaler["spec"]["scaleTargetRef"]
    return f"{to['kind']} {to['name']}"


def _unscaled(workload: Document) -> Document:
    return {**workload, "spec": {key: value for key, value in workload["spec"].items() if key != "replicas"}}


def as_label(text: str) -> str:
    """A label's value that stands for any text."""
    if len(text) <= 63 and re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        return text
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def calls_of(documents: Sequence[Document]) -> dict[str, list[str]]:
    """Who calls whom, as the policies say it: name → names."""
    out: dict[str, list[str]] = {}
    for one in (d for d in documents if d["kind"] == "NetworkPolicy"):
        peers = [peer for rule in one["spec"].get("egress") or [] for peer in rule.get("to") or []]
        labels = [((peer.get("podSelector") or {}).get("matchLabels") or {}) for peer in peers]
        out[one["metadata"]["name"]] = [found[NAME_LABEL] for found in labels if NAME_LABEL in found]
    return out


def widened(policy: Document, live: Document) -> Document:
    """`policy` with the rules of the live one beside its own. One that selects everything and allows nothing closes
    what no other opens; it is left as it is."""
    spec, has = policy["spec"], live.get("spec") or {}
    if not spec.get("podSelector"):
        return policy
    more: dict[str, list[Any]] = {}
    for way in ("ingress", "egress"):
        own = list(spec.get(way) or [])
        both = own + [rule for rule in has.get(way) or [] if rule not in own]
        more |= {way: both} if both else {}
    return {**policy, "spec": {**spec, **more}}


def _adopted(inventory: Sequence[Ref], found: Sequence[Document]) -> list[Ref]:
    """Entries that were written before their objects were made get the uid of an object that we applied."""
    ours = {Ref.of(one).key(): Ref.of(one) for one in found if _applied_by_us(one)}
    return [one if one.uid else ours.get(one.key(), one) for one in inventory]


def _applied_by_us(document: Document) -> bool:
    return bool(applied(document, MANAGER))


def _is_service(document: Document) -> bool:
    """Whether it is of one of the system's services; all else outlives releases."""
    return labels_of(document).get(COMPONENT) == "service"


def _number(release: str) -> int:
    return int(release[1:]) if release[:1] == "r" and release[1:].isdigit() else 0


def _slot(release: str) -> str:
    """A release of a cluster has no slot at a proxy; the placement's names do for those who compare."""
    return "" if not (number := _number(release)) else "a" if number % 2 else "b"


def _ready(pod: Document) -> bool:
    return bool(condition(pod, "Ready"))
