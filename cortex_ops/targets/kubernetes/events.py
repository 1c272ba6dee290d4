"""What is said beside a failure: the cluster's events in short lines, and whose logs tell the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cortex_ops.kernel.redact import redact
from cortex_ops.kernel.values import Value
from cortex_ops.targets.kubernetes.causes import short
from cortex_ops.targets.kubernetes.objects import Document
from cortex_ops.targets.kubernetes.pods import restarts, statuses

# Most events that are no warning only say that things go well.
_TELLING = ("Killing", "Preempted", "TaintManagerEviction", "NotTriggerScaleUp", "TriggeredScaleUp")
_LINES = 25


class LogSource(Value):
    """One log to read: of a container as it is, or of its `previous` life. One that `may` be there is not missed."""

    namespace: str
    pod: str
    container: str
    previous: bool = False
    may: bool = False

    def label(self) -> str:
        return f"{self.pod}/{self.container}{' (before its restart)' if self.previous else ''}"


def explain(
    events: Iterable[Document], logs: Mapping[str, Sequence[str]] | None = None, *, limit: int = 10
) -> list[str]:
    """Lines for an error's details: the last `limit` different events, newest last, then the last lines of each log
    by its label. Takes events of both APIs (`v1`, `events.k8s.io/v1`), in which one event may be seen twice. Known
    secrets are removed."""
    seen: dict[str, Document] = {}
    for number, event in enumerate(events):
        identity = (event.get("metadata") or {}).get("uid") or f"#{number}"
        if identity not in seen or _count(event) >= _count(seen[identity]):
            seen[identity] = event
    said: dict[str, tuple[str, int]] = {}
    for event in sorted(seen.values(), key=_when):
        if event.get("type") != "Normal" or event.get("reason") in _TELLING:
            text = _text(event)
            _, before = said.pop(text, ("", 0))
            said[text] = (_when(event), before + _count(event))
    lines = [f"{text} ({count} times)" if count > 1 else text for text, (_, count) in said.items()][-limit:]
    for label, log in (logs or {}).items():
        tail = [line.rstrip() for line in log if line.strip()][-_LINES:]
        lines += [f"{label}: {line}" for line in tail] or [f"{label}: (it wrote nothing)"]
    return [redact(line) for line in lines]


def _text(event: Document) -> str:
    about = event.get("regarding") or event.get("involvedObject") or {}
    said = redact(event.get("note") or event.get("message") or "")  # before it is cut: half a secret is not found
    return f"{about.get('kind', 'object')} {about.get('name', '?')}: {event.get('reason', '')}: {short(said)}"


def _count(event: Document) -> int:
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or event.get("deprecatedCount") or 1)


def _when(event: Document) -> str:
    """Of its last time, to the second: the two APIs write different fractions, and their order is that of text."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp") or event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        (event.get("metadata") or {}).get("creationTimestamp"),
    )
    return str(next((one for one in times if one), ""))[:19]


def log_sources(pods: Iterable[Document]) -> list[LogSource]:
    """Which logs to read, the most telling first: those of containers that ended or were restarted, of their previous
    life before the present one; then of those that run and are not ready. When nothing is wrong, of all that run."""
    crashed: list[LogSource] = []
    unready: list[LogSource] = []
    running: list[LogSource] = []
    for pod in pods:
        for status in statuses(pod):
            metadata, state = pod["metadata"], status.get("state") or {}
            source = LogSource(
                namespace=metadata.get("namespace", ""), pod=metadata["name"], container=status["name"]
            )
            ended = (state.get("terminated") or {}).get("exitCode", 0) != 0
            started = "running" in state or "terminated" in state
            if (status.get("lastState") or {}).get("terminated"):
                crashed.append(source.model_copy(update={"previous": True}))
                crashed += [source] if started else []
            elif ended:
                crashed.append(source)
                if restarts(pod):
                    # A first restart comes at once, and what is seen now is the previous life when it is read.
                    crashed.append(source.model_copy(update={"previous": True, "may": True}))
            elif "running" in state:
                (running if status.get("ready") else unready).append(source)
    return crashed + unready or running
