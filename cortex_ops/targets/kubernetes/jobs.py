"""One-shot jobs of a release: created, watched to their end with a deadline, removed. A job's failure is a result."""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import Callable

from cortex_ops.adapters.cluster import Cluster, ClusterError
from cortex_ops.kernel.clock import Clock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.targets.kubernetes.objects import Document, Ref
from cortex_ops.targets.kubernetes.pods import doomed, unschedulable
from cortex_ops.targets.kubernetes.rollout import POLL_S, UNSCHEDULABLE_S, refused
from cortex_ops.targets.protocol import JobResult

GONE_S = 30.0


class JobRun:
    """Runs one Job document, which gets these labels, and so do its pods."""

    def __init__(self, cluster: Cluster, job: Document, labels: dict[str, str], clock: Clock) -> None:
        self.cluster, self.clock = cluster, clock
        self.job = copy.deepcopy(job)
        for labelled in (self.job, self.job["spec"]["template"]):
            labelled["metadata"]["labels"] |= labels
        self.namespace = job["metadata"]["namespace"]
        self.began = clock.monotonic()

    def run(self, deadline: float, on_line: Callable[[str], None] | None) -> JobResult:
        """Never raises for the job's own failure; the Job is gone afterwards."""
        try:
            self._remove()
            try:
                made = self.cluster.create(self.job)
            except ClusterError as error:
                raise refused(Ref.of(self.job).label(), error) from error
            return self._to_the_end(made, deadline, on_line)
        except OpsError as error:
            return self._result(None, "", str(error))
        finally:
            self.cluster.delete(self.job)

    def _remove(self) -> None:
        """One of this name that an earlier run left: it has to be gone before there can be another."""
        end = self.clock.monotonic() + GONE_S
        while self.cluster.get(self.cluster.path_of(self.job)) is not None:
            self.cluster.delete(self.job)
            if self.clock.monotonic() > end:
                raise OpsError(f"{Ref.of(self.job).label()} of an earlier run is not gone after {GONE_S:g} s")
            self.clock.sleep(POLL_S)

    def _to_the_end(self, made: Document, deadline: float, on_line: Callable[[str], None] | None) -> JobResult:
        end, selector = self.began + deadline, f"batch.kubernetes.io/controller-uid={made['metadata']['uid']}"
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        follower: _Follower | None = None
        while True:
            pods = self.cluster.items(path, selector)
            for pod in pods[:1]:
                name, container = pod["metadata"]["name"], pod["spec"]["containers"][0]["name"]
                if on_line is not None and follower is None and _started(pod):
                    follower = _Follower(self.cluster, self.namespace, name, container, deadline, on_line)
                ended = _ended(pod)
                if ended is not None:
                    if follower is not None:
                        follower.join(10)
                    return self._result(ended, self._output(pod), "")
                cause = doomed(pod, 0) or unschedulable(pod, grace=UNSCHEDULABLE_S, now=self.clock.now())
                if cause:
                    return self._result(None, self._output(pod), cause)
            late = self.clock.monotonic() > end
            live = self.cluster.get(self.cluster.path_of(self.job)) or {}
            failed = [c for c in (live.get("status") or {}).get("conditions") or [] if c["type"] == "Failed"]
            if late or (failed and not pods):
                output = self._output(pods[0]) if pods else ""
                said = failed[0].get("message") if failed else f"it did not end within {deadline:g} s"
                return self._result(None, output, f"{Ref.of(self.job).label()}: {said}")
            self.clock.sleep(POLL_S if pods else 0.1)

    def _output(self, pod: Document) -> str:
        container = pod["spec"]["containers"][0]["name"]
        return self.cluster.log(self.namespace, pod["metadata"]["name"], container)

    def _result(self, code: int | None, output: str, cause: str) -> JobResult:
        return JobResult(code=code, output=output, seconds=self.clock.monotonic() - self.began, cause=cause)


class _Follower(threading.Thread):
    """Hands on what the job says, while it says it; what counts is read whole at the end."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        pod: str,
        container: str,
        deadline: float,
        on_line: Callable[[str], None],
    ) -> None:
        super().__init__(name="job-log", daemon=True)
        self._lines = functools.partial(cluster.follow, namespace, pod, container, timeout=deadline)
        self._on_line = on_line
        self.start()

    def run(self) -> None:
        try:
            for line in self._lines():
                self._on_line(line)
        except Exception:  # the connection broke: nothing is lost but progress
            return


def _started(pod: Document) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return any({"running", "terminated"} & set(one.get("state") or {}) for one in statuses)


def _ended(pod: Document) -> int | None:
    """The exit code of its container, or None while it may still come; one that was killed as a whole has none."""
    status = pod.get("status") or {}
    for one in status.get("containerStatuses") or []:
        if "terminated" in (one.get("state") or {}):
            return int(one["state"]["terminated"].get("exitCode", 1))
    return 1 if status.get("phase") == "Failed" else None
