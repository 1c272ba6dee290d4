"""Judges an environment as deployed: what should be live, what is, does it answer, is it backed up.

Reads only; every finding says what to type.
"""

from __future__ import annotations

from datetime import timedelta

from cortex_ops.health.probe import ask
from cortex_ops.kernel.clock import Clock, parse_iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import Change
from cortex_ops.release.history import History
from cortex_ops.release.records import Record, TakenDown
from cortex_ops.results import HealthFinding, HealthStep
from cortex_ops.stack.environments import Environment
from cortex_ops.stack.schema import Stack
from cortex_ops.targets.protocol import Target


def check(
    environment: Environment, stack: Stack, target: Target, history: History, store: Store, clock: Clock
) -> HealthStep:
    """Never raises for an unhealthy system; raises `OpsError` when the store itself cannot be read."""
    began = clock.monotonic()
    env = environment.name
    live = history.live()
    drift: list[Change] | None = None
    down = history.taken_down(live.seq) if live is not None else None
    findings = [_recorded(env, live, down), *_unfinished(env, history)]
    if live is not None and down is None:
        try:
            drift = _drift(live, target, history)
            findings += _as_recorded(env, live, target, drift)
            findings += _answering(stack, target, clock)
        except OpsError as error:
            findings.append(HealthFinding(object="target", ok=False, message=error.message, remedy=error.remedy))
    if live is not None and environment.backup is not None:
        findings.append(_backed_up(env, environment.backup.recovery_point, store, clock))
    return HealthStep(
        healthy=all(f.ok for f in findings),
        drift=tuple(change.line() for change in drift) if drift is not None else None,
        findings=tuple(findings),
        live=f"r{live.outcome.serves}" if live is not None and live.outcome and down is None else "",
        seconds=round(clock.monotonic() - began, 3),
    )


def _recorded(env: str, live: Record | None, down: TakenDown | None) -> HealthFinding:
    if live is None or live.outcome is None or down is not None:
        return HealthFinding(
            object="release",
            ok=False,
            message=f"{env} was taken down by {down.actor} at {down.at}" if down else f"{env} has no live release",
            remedy="dagster job execute -m cortex_ops.definitions -j release "
            f'--tags \'{{"dagster/partition": "{env}"}}\'',
        )
    when = live.outcome.finished_at
    return HealthFinding(object="release", ok=True, message=f"r{live.outcome.serves} is live since {when}")


def _unfinished(env: str, history: History) -> list[HealthFinding]:
    return [
        HealthFinding(
            object=f"r{record.seq}",
            ok=False,
            message=f"r{record.seq} was begun by run {record.intent.run_id} and has no outcome",
            remedy=f"if that run is over: cortex-ops settle -e {env}",
        )
        for record in history.unfinished()
    ]


def _drift(live: Record, target: Target, history: History) -> list[Change] | None:
    assert live.outcome is not None
    placed = history.placed(live.outcome.serves)
    return target.drift(placed, live.outcome.serves) if placed is not None else None


def _as_recorded(env: str, live: Record, target: Target, drift: list[Change] | None) -> list[HealthFinding]:
    assert live.outcome is not None
    serves = live.outcome.serves
    if drift is None:
        return [HealthFinding(object=f"r{serves}", ok=False, message=f"the store has no rendering of r{serves}")]
    says = target.live().release
    findings = [
        HealthFinding(
            object="switch",
            ok=says == f"r{serves}",
            message=f"the traffic goes to {says or 'nothing'}"
            + ("" if says == f"r{serves}" else f", the history says r{serves}"),
            remedy="" if says == f"r{serves}" else f"cortex-ops settle -e {env}, then release again",
        )
    ]
    findings += [
        HealthFinding(
            object=c.object,
            ok=False,
            message=c.line().removeprefix(f"{c.object}: "),
            remedy="the next release repairs it",
        )
        for c in drift
    ] or [HealthFinding(object="drift", ok=True, message="every owned field is as rendered")]
    return findings


def _answering(stack: Stack, target: Target, clock: Clock) -> list[HealthFinding]:
    out = []
    for name, base in sorted(target.endpoints().items()):
        service = stack.services.get(name)
        if service is None:
            continue
        began = clock.monotonic()
        problem = ask(base + service.probes.ready)
        out.append(
            HealthFinding(
                object=name,
                ok=not problem,
                message=problem or f"{base} answers",
                remedy=f"cortex-ops history, docker logs of {name}" if problem else "",
                seconds=round(clock.monotonic() - began, 3),
            )
        )
    return out


def _backed_up(env: str, recovery_point: timedelta, store: Store, clock: Clock) -> HealthFinding:
    from cortex_ops.backup.catalog import newest

    found = newest(store, env)
    if found is None:
        return HealthFinding(
            object="backup",
            ok=False,
            message=f"{env} has no backup",
            remedy="dagster job execute -m cortex_ops.definitions -j backup "
            f'--tags \'{{"dagster/partition": "{env}"}}\'',
        )
    age = clock.now() - parse_iso(found.data_time)
    late = age > recovery_point
    hours = age.total_seconds() / 3600
    return HealthFinding(
        object="backup",
        ok=not late,
        message=f"the newest backup {found.set_id} holds data of {hours:.1f} h ago"
        + (f", older than the recovery point of {recovery_point}" if late else ""),
        remedy="run the backup job" if late else "",
    )
