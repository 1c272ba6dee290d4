"""The release transaction, step by step: rollout, tests, promotion; rollback and settling."""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import ImageLock, Placement, Value, Verdict
from cortex_ops.pipeline.inputs import Inputs, put, read_inputs
from cortex_ops.pipeline.rendering import Renderer
from cortex_ops.release.machine import Begun, Releaser, Wanted
from cortex_ops.release.migrations import Migrations
from cortex_ops.release.records import Record
from cortex_ops.results import ReleaseStep, RolloutStep
from cortex_ops.wiring import Wiring


def releaser(w: Wiring, env: str, *, wait: float = 0.0) -> Releaser:
    """The release machine of one environment for this run."""
    environment = w.environment(env)
    return Releaser(
        env,
        w.target(env),
        w.history(env),
        run_id=w.run_id,
        actor=w.settings.actor,
        drift_policy=environment.drift,
        wait=wait,
        verify=lambda target: _answers(w, env, target.endpoints()),
        newest_backup=lambda: _newest_backup(w, env),
        clock=w.clock,
        progress=w.progress,
    )


def _newest_backup(w: Wiring, env: str) -> str:
    """For the record only: a set that cannot be read must not keep a release from ending."""
    from cortex_ops.backup.catalog import newest

    try:
        found = newest(w.store, env)
    except OpsError:
        return ""
    return found.set_id if found is not None else ""


def _answers(w: Wiring, env: str, endpoints: dict[str, str]) -> list[str]:
    from cortex_ops.health.probe import wait_until_ready

    services = w.stack.services
    urls = {name: base + services[name].probes.ready for name, base in endpoints.items() if name in services}
    return wait_until_ready(urls, deadline=15.0, clock=w.clock)


def _wanted(w: Wiring, env: str, inputs: Inputs) -> Wanted:
    renderer = Renderer(w, env, inputs)
    versions, volumes = renderer.secrets()
    neutral = renderer.place(Placement(seq=0, slot="a"), versions)
    services = {name: s for name, s in renderer.stack.services.items() if not s.optional}
    jobs = tuple(f"{name}-migrate" for name, s in services.items() if s.migrations is not None)
    return Wanted(
        identity=neutral.identity,
        revision=inputs.lock.source_revision,
        dirty=inputs.lock.source_dirty,
        lock=inputs.lock,
        secret_versions=versions,
        place=lambda placement: renderer.place(placement, versions),
        secrets=lambda: volumes,
        migrations=jobs,
        schema_head=inputs.migrations.head,
        schema_breaking=inputs.migrations.breaking,
        stack_hash=inputs.stack_hash,
        promoted_from=inputs.promoted_from,
    )


def rollout(w: Wiring, env: str) -> RolloutStep:
    """Settle, then bring the candidate up beside what runs. Undoes its own failure before it raises."""
    return _roll_out(w, env, read_inputs(w))


def _roll_out(w: Wiring, env: str, inputs: Inputs) -> RolloutStep:
    began = w.clock.monotonic()
    machine = releaser(w, env, wait=w.environment(env).wait)
    hold_lease_with(machine, inputs.lock)
    begun = machine.roll_out(_wanted(w, env, inputs))
    put(w, f"{env}-begun", _Step(seq=begun.record.seq, noop=begun.noop))
    serves = begun.record.outcome.serves if begun.record.outcome else begun.record.seq
    return RolloutStep(
        noop=begun.noop,
        seq=begun.record.seq,
        serves=serves,
        services={name: _state_of(begun) for name in w.stack.services},
        repaired=tuple(begun.repaired),
        timings=begun.timings,
        seconds=round(w.clock.monotonic() - began, 3),
    )


class _Step(Value):
    seq: int
    noop: bool


def _step(w: Wiring, env: str) -> _Step:
    data = w.store.get(f"runs/{w.run_id}/{env}-begun.json")
    if data is None:
        raise OpsError(f"run {w.run_id} has rolled out nothing to {env}")
    return _Step.from_json(data)


def _state_of(begun: Begun) -> str:
    return "as released, nothing to do" if begun.noop else "candidate is ready"


def hold_lease_with(machine: Releaser, lock: ImageLock) -> None:
    """A lease on Compose is a container, and a container needs an image; any of ours will do."""
    lease: Any = machine.target.lease
    if hasattr(lease, "image") and "edge" in lock.images:
        lease.image = lock.images["edge"].reference()


def integration_tests(w: Wiring, env: str) -> Verdict:
    """Test the candidate. Never raises for a failing or a broken run: every ending is a verdict."""
    from cortex_ops.acceptance.run import run_tests

    step = _step(w, env)
    history = w.history(env)
    if step.noop:
        verdict = history.verdict(_verdict_of(w, env, step.seq))
        if verdict is None:
            return Verdict(passed=False, cause=f"r{step.seq} is live and has no verdict", infrastructure=True)
        return verdict
    machine = releaser(w, env)
    placed = history.placed(step.seq)
    try:
        if placed is None:
            raise OpsError(f"release {step.seq} has no rendering in the store")
        hold_lease_with(machine, placed.lock)
        machine.target.lease.resume(w.run_id)
        with machine.target.lease.keep(), w.progress.step(f"integration tests against r{step.seq}"):
            deadline = float(w.stack.tests.deadline) if w.stack.tests else 120.0
            verdict = run_tests(machine.target, placed, deadline=deadline, clock=w.clock, progress=w.progress)
    except OpsError as error:
        verdict = Verdict(passed=False, cause=error.message, infrastructure=True)
    history.put_verdict(step.seq, verdict)
    return verdict


def _verdict_of(w: Wiring, env: str, seq: int) -> int:
    """A rollback by the switch alone is judged by the release that it brought back."""
    intent = w.history(env).record(seq).intent
    return intent.returns_to or seq


def release(w: Wiring, env: str) -> ReleaseStep:
    """Promote or roll back on the verdict; `ok` is false for a rejected release."""
    step = _step(w, env)
    history = w.history(env)
    machine = releaser(w, env)
    if step.noop:
        record = history.record(step.seq)
        return _release_step(w, env, record, machine, noop=True)
    placed = history.placed(step.seq)
    if placed is not None:
        hold_lease_with(machine, placed.lock)
    return _release_step(w, env, machine.conclude(None), machine, noop=False)


def _release_step(w: Wiring, env: str, record: Record, machine: Releaser, *, noop: bool) -> ReleaseStep:
    outcome = record.outcome
    if outcome is None:
        raise OpsError(f"release {record.seq} of {env} has no outcome", remedy=f"`cortex-ops settle -e {env}`")
    ok = outcome.state == "promoted"
    if noop:
        message = f"{env}: r{outcome.serves} is live and exactly as released; nothing to do"
    elif ok:
        message = f"{env}: r{record.seq} is live, tested and recorded"
    else:
        serves = f"r{outcome.serves} still serves" if outcome.serves else "nothing serves"
        message = f"{env}: r{record.seq} was rolled back: {outcome.cause}; {serves}"
    return ReleaseStep(
        ok=ok,
        noop=noop,
        record=record,
        outcome=outcome,
        verdict=record.verdict,
        endpoints=machine.target.endpoints(),
        message=message,
    )


def rollback(w: Wiring, env: str, to: int = 0) -> ReleaseStep:
    """Bring an earlier promoted release back: by the switch alone while it still runs, else started anew."""
    machine = releaser(w, env, wait=w.environment(env).wait)
    _, earlier = machine.rollback_plan(to)
    hold_lease_with(machine, earlier.intent.lock)
    record = machine.switch_back(earlier)
    if record is not None:
        return _release_step(w, env, record, machine, noop=False)
    intent = earlier.intent
    inputs = Inputs(
        lock=intent.lock,
        stack_hash=intent.stack_hash,
        migrations=Migrations(head=intent.schema_head),
        promoted_from=f"{env}@{earlier.seq}",
    )
    w.progress.say(f"r{earlier.seq} does not run any more: starting its images again")
    _roll_out(w, env, inputs)
    integration_tests(w, env)
    return release(w, env)


def settle(w: Wiring, env: str) -> list[Record]:
    """Complete or undo what dead runs left unfinished; returns what it settled."""
    machine = releaser(w, env)
    unfinished = machine.history.unfinished()
    if unfinished:
        hold_lease_with(machine, unfinished[-1].intent.lock)
    return machine.settle()


def interrupt(w: Wiring, env: str) -> None:
    """Undo what this run began; called when it is told to end, with its own lease."""
    machine = releaser(w, env)
    unfinished = machine.history.unfinished()
    if unfinished:
        hold_lease_with(machine, unfinished[-1].intent.lock)
    machine.interrupt("the run was told to end")
