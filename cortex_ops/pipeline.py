"""The steps of the main job as functions, and nothing of how they are scheduled.

`defs` calls one of these per Dagster op and `cli` calls the same ones; what a step hands to the next is an
object in the store under `runs/<run id>/`, so that it does not matter which process runs the next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.errors import InputError, OpsError, RefusedError
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.values import Bundle, ImageLock, Placed, Placement, Value, Verdict
from cortex_ops.release.machine import Begun, Releaser, Wanted
from cortex_ops.release.migrations import Migrations, read_migrations
from cortex_ops.release.records import Record
from cortex_ops.results import (
    BuildStep,
    HealthStep,
    ImageResult,
    ReleaseStep,
    RenderStep,
    RolloutStep,
    SourceResult,
    UpkeepStep,
)
from cortex_ops.wiring import Wiring

if TYPE_CHECKING:
    from cortex_ops.backup import BackupResult, DrillResult
    from cortex_ops.images.retention import Decision


# -- what steps hand to each other ---------------------------------------------------------------------------


class Inputs(Value):
    """All that a rendering depends on, but for the placement; written by `build`, read by later steps."""

    lock: ImageLock
    stack_hash: str
    migrations: Migrations
    promoted_from: str = ""


def _put(w: Wiring, name: str, value: Value) -> None:
    w.store.put_if_absent(f"runs/{w.run_id}/{name}.json", value.to_json())


def _inputs(w: Wiring) -> Inputs:
    data = w.store.get(f"runs/{w.run_id}/inputs.json")
    if data is None:
        raise OpsError(f"run {w.run_id} has no built images", remedy="run the whole job, not single steps of it")
    return Inputs.from_json(data)


def check_environment(w: Wiring, env: str) -> None:
    """Raise `InputError` naming the known environments before anything runs."""
    environment = w.environment(env)
    if environment.mode == "development":
        raise InputError(
            f"environment {env} is for development: nothing is released to it",
            remedy=f"render it: cortex-ops render -e {env} -o DIR; then docker compose up --watch there",
        )


# -- source and images ---------------------------------------------------------------------------------------


def source(w: Wiring) -> SourceResult:
    """The monorepo's state and the fingerprint of every image."""
    from cortex_ops.images.build import fingerprints
    from cortex_ops.source.git import inspect

    began = w.clock.monotonic()
    state = inspect(w.monorepo)
    found = fingerprints(w.stack, w.settings)
    return SourceResult(
        revision=state.revision,
        dirty=state.dirty,
        dirty_files=tuple(state.dirty_files)[:50],
        fingerprints=found,
        seconds=round(w.clock.monotonic() - began, 3),
    )


def build(w: Wiring, env: str | None = None, from_ref: str = "") -> BuildStep:
    """Build what changed, or take the images of the environment that this one promotes from.

    `from_ref` is `staging@12` or `staging` (the newest promoted); a protected environment never builds.
    """
    began = w.clock.monotonic()
    environment = w.environment(env) if env else None
    origin = from_ref or (environment.from_ if environment and environment.from_ else "")
    if origin:
        return _promote_images(w, origin, began, environment.protected if environment else False)
    from cortex_ops.images.build import build as build_images

    w.monorepo  # noqa: B018 - raises when there is none
    result = build_images(w.stack, w.settings, w.engine, w.store, w.progress)
    inputs = Inputs(lock=result.lock, stack_hash=_keep_stack(w), migrations=_migrations(w))
    _put(w, "inputs", inputs)
    return BuildStep(
        lock=result.lock,
        images=tuple(
            ImageResult(
                name=name,
                reference=ref.reference(),
                fingerprint=ref.fingerprint,
                built=name in result.built,
                size=ref.size,
                seconds=result.seconds.get(name, 0.0),
                findings=tuple(result.findings.get(name, ())),
            )
            for name, ref in sorted(result.lock.images.items())
        ),
        seconds=round(w.clock.monotonic() - began, 3),
    )


def _promote_images(w: Wiring, origin: str, began: float, protected: bool) -> BuildStep:
    name, _, number = origin.partition("@")
    check_environment(w, name)
    history = w.history(name)
    record = history.record(int(number)) if number.isdigit() else history.live()
    if number and not number.isdigit():
        raise InputError(f"{origin!r}: found {number!r} after @, expected a release's number, as in staging@12")
    if record is None or record.outcome is None or record.outcome.state != "promoted":
        what = f"release {number} of {name} was not promoted" if number else f"{name} has promoted nothing yet"
        raise RefusedError(what, remedy=f"release to {name} first")
    if record.intent.kind == "release" and (record.verdict is None or not record.verdict.passed):
        raise RefusedError(f"{name}@{record.seq} has no passed verdict, so its images may not be promoted")
    reference = f"{name}@{record.seq}"
    if protected and record.intent.dirty:
        raise RefusedError(
            f"{reference} was built from a tree with uncommitted changes, which a protected environment refuses",
            remedy=f"commit, release to {name} again, then here",
        )
    inputs = Inputs(
        lock=record.intent.lock,
        stack_hash=record.intent.stack_hash,
        migrations=Migrations(head=record.intent.schema_head, breaking=record.intent.schema_breaking),
        promoted_from=reference,
    )
    _put(w, "inputs", inputs)
    w.progress.say(f"images of {reference}, built once and tested there; nothing is built here")
    return BuildStep(
        lock=inputs.lock,
        images=tuple(
            ImageResult(
                name=image,
                reference=ref.reference(),
                fingerprint=ref.fingerprint,
                built=False,
                size=ref.size,
                seconds=0,
            )
            for image, ref in sorted(inputs.lock.images.items())
        ),
        seconds=round(w.clock.monotonic() - began, 3),
        promoted_from=reference,
    )


def _keep_stack(w: Wiring) -> str:
    """Store the stack file's text by content, so that an old release can be rendered again."""
    text = w.settings.stack_file.read_bytes()
    digest = sha256(text)
    if w.store.get(f"stacks/{digest}.yaml") is None:
        w.store.put_if_absent(f"stacks/{digest}.yaml", text)
    return digest


def _migrations(w: Wiring) -> Migrations:
    head = breaking = 0
    for service in w.stack.services.values():
        if service.migrations is not None:
            one = read_migrations(w.monorepo / service.migrations.path)
            head, breaking = max(head, one.head), max(breaking, one.breaking)
    return Migrations(head=head, breaking=breaking)


# -- rendering -----------------------------------------------------------------------------------------------


class Renderer:
    """Renders one environment from recorded inputs; secrets are resolved once and never rendered."""

    def __init__(self, w: Wiring, env: str, inputs: Inputs) -> None:
        from cortex_ops.stack.environments import resolve
        from cortex_ops.stack.load import load_stack_text

        self.w, self.env, self.inputs = w, env, inputs
        recorded = w.store.get(f"stacks/{inputs.stack_hash}.yaml") if inputs.promoted_from else None
        if recorded is not None:
            # What was proven comes from the record; where it goes to is what the file says of that place today.
            old = load_stack_text(recorded.decode(), w.settings.stack_file)
            self.stack = old.model_copy(update={"environments": w.stack.environments, "secrets": w.stack.secrets})
        else:
            self.stack = w.stack
        self.environment = resolve(self.stack, env)

    def secrets(self) -> tuple[dict[str, str], dict[str, dict[str, Secret]]]:
        """Combined version per consumer, and what each secret volume holds: volume → file → value."""
        from cortex_ops.secrets.delivery import deliveries

        found = deliveries(self.stack, self.environment, self.w.settings)
        return found.versions, found.volumes

    def place(self, placement: Placement, versions: dict[str, str]) -> Placed:
        from cortex_ops.render.compose import RenderInputs, render_compose

        inputs = RenderInputs(
            stack=self.stack,
            environment=self.environment,
            lock=self.inputs.lock,
            secret_versions=versions,
        )
        neutral = render_compose(inputs)
        bundle = neutral if placement.seq == 0 else render_compose(inputs, placement)
        return Placed(
            placement=placement,
            bundle=bundle,
            lock=self.inputs.lock,
            secret_versions=versions,
            identity=neutral.content_hash(),
        )


def render(w: Wiring, env: str) -> RenderStep:
    """What would run, and how it differs from what is live."""
    from cortex_ops.render.compose.policy import judge

    began = w.clock.monotonic()
    renderer = Renderer(w, env, _inputs(w))
    versions, _ = renderer.secrets()
    placed = renderer.place(Placement(seq=0, slot="a"), versions)
    return RenderStep(
        bundle=placed.bundle,
        identity=placed.identity,
        diff=_diff(w, env, placed, renderer),
        findings=tuple(judge(placed.bundle.files)),
        seconds=round(w.clock.monotonic() - began, 3),
    )


def preflight(w: Wiring, env: str) -> list[str]:
    """All that would make the rollout fail and can be known before anything is changed; one sentence each."""
    renderer = Renderer(w, env, _inputs(w))
    versions, _ = renderer.secrets()
    return w.target(env).preflight(renderer.place(Placement(seq=0, slot="a"), versions))


def _diff(w: Wiring, env: str, placed: Placed, renderer: Renderer) -> str:
    """Markdown of what differs from the live release's rendering; secrets are not in renderings at all."""
    import difflib

    live = w.history(env).live()
    before = w.history(env).placed(live.outcome.serves) if live is not None and live.outcome else None
    if live is None or before is None:
        return "_first release: everything is new_"
    if live.intent.identity == placed.identity:
        return "_no difference from what is live_"
    after = renderer.place(before.placement, placed.secret_versions).bundle.files
    out: list[str] = []
    for name in sorted(before.bundle.files.keys() | after.keys()):
        old, new = before.bundle.files.get(name, ""), after.get(name, "")
        lines = list(
            difflib.unified_diff(old.splitlines(), new.splitlines(), f"live/{name}", f"new/{name}", "", "", 2)
        )
        out += [line.rstrip() for line in lines[:400]]
    return "```diff\n" + "\n".join(out) + "\n```"


def render_for_hand(w: Wiring, env: str) -> Bundle:
    """Files for use without this tool: of the images that were built last, or plain builds in development."""
    from cortex_ops.render.compose import RenderInputs, render_development
    from cortex_ops.render.compose.readme import with_readme

    environment = w.environment(env)
    if environment.mode == "development":
        lock = ImageLock(source_revision="", source_dirty=True, images={})
        inputs = RenderInputs(stack=w.stack, environment=environment, lock=lock, secret_versions={})
        return with_readme(render_development(inputs, w.monorepo), inputs)
    renderer = _renderer_for_hand(w, env)
    versions, _ = renderer.secrets()
    placed = renderer.place(Placement(seq=0, slot="a"), versions)
    inputs = RenderInputs(stack=w.stack, environment=environment, lock=placed.lock, secret_versions=versions)
    return with_readme(placed.bundle, inputs)


def apply_secrets(w: Wiring, env: str) -> list[str]:
    """Deliver what rendered files mount; returns the volumes' names."""
    check_environment(w, env)
    renderer = _renderer_for_hand(w, env)
    versions, volumes = renderer.secrets()
    w.target(env).deliver_secrets(renderer.place(Placement(seq=0, slot="a"), versions), volumes)
    return sorted(volumes)


def _renderer_for_hand(w: Wiring, env: str) -> Renderer:
    """Of this run's images, of those that are live, or else of newly built or promoted ones."""
    from cortex_ops.secrets.delivery import deliveries

    built = w.store.get(f"runs/{w.run_id}/inputs.json") is not None
    live = w.history(env).live()
    if not built and live is not None:
        kept = live.intent
        inputs = Inputs(
            lock=kept.lock, stack_hash=kept.stack_hash, migrations=Migrations(), promoted_from=kept.promoted_from
        )
        return Renderer(w, env, inputs)
    if not built:
        deliveries(w.stack, w.environment(env), w.settings)  # a missing secret is said before the minutes of a build
        build(w, env)
    return Renderer(w, env, _inputs(w))


# -- the transaction -----------------------------------------------------------------------------------------


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
    return _roll_out(w, env, _inputs(w))


def _roll_out(w: Wiring, env: str, inputs: Inputs) -> RolloutStep:
    began = w.clock.monotonic()
    machine = releaser(w, env, wait=w.environment(env).wait)
    _hold_lease_with(machine, inputs.lock)
    begun = machine.roll_out(_wanted(w, env, inputs))
    _put(w, f"{env}-begun", _Step(seq=begun.record.seq, noop=begun.noop))
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


def _hold_lease_with(machine: Releaser, lock: ImageLock) -> None:
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
        _hold_lease_with(machine, placed.lock)
        machine.target.lease.acquire(w.run_id, w.settings.actor)
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
        _hold_lease_with(machine, placed.lock)
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
    _hold_lease_with(machine, earlier.intent.lock)
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
        _hold_lease_with(machine, unfinished[-1].intent.lock)
    return machine.settle()


def interrupt(w: Wiring, env: str) -> None:
    """Undo what this run began; called when it is told to end, with its own lease."""
    machine = releaser(w, env)
    unfinished = machine.history.unfinished()
    if unfinished:
        _hold_lease_with(machine, unfinished[-1].intent.lock)
    machine.interrupt("the run was told to end")


# -- health, upkeep, backup ----------------------------------------------------------------------------------


def health(w: Wiring, env: str) -> HealthStep:
    """Is it healthy, as deployed, from outside?"""
    from cortex_ops.health.check import check

    return check(w.environment(env), w.stack, w.target(env), w.history(env), w.store, w.clock)


def upkeep(w: Wiring, env: str) -> UpkeepStep:
    """Settle, end bakes, remove images, volumes and leftovers that nothing retained needs."""
    from cortex_ops.images import retention
    from cortex_ops.release.upkeep import tidy

    machine = releaser(w, env)
    live = machine.history.live()
    if live is not None:
        _hold_lease_with(machine, live.intent.lock)
    step = tidy(machine)
    try:
        images = retention.apply(w.engine, image_table(w))
    except OpsError as error:
        images = retention.Removed(problems=(f"images: {error.message}",))
    return UpkeepStep(removed=step.removed + images.removed, problems=step.problems + images.problems)


def refresh_bases(w: Wiring) -> dict[str, str]:
    """Pin every base image and store image anew in `deploy/bases.lock`; image → new digest of those that changed."""
    from cortex_ops.adapters.registry import logged_in
    from cortex_ops.images import bases
    from cortex_ops.images.build import base_images

    with logged_in(w.engine):
        return bases.refresh(w.engine, w.settings, base_images(w.stack, w.settings), w.progress)


def image_table(w: Wiring) -> list[Decision]:
    """The built images in the engine, which of them upkeep removes, and why the others stay."""
    from cortex_ops.images import retention
    from cortex_ops.release.upkeep import retained

    policy = w.stack.retention
    protected = retained(w.store, policy.releases)
    return retention.table(w.engine, w.store, protected, unused=policy.unused_span(), clock=w.clock)


def backup(w: Wiring, env: str) -> BackupResult:
    """Back up the environment's stores; published only when complete and signed."""
    from cortex_ops.backup import run_backup

    return run_backup(_backup_context(w, env))


def drill(w: Wiring, env: str, set_id: str | None = None) -> DrillResult:
    """Restore a set into a throwaway container, assert its content, measure the recovery time."""
    from cortex_ops.backup.drill import run_drill

    return run_drill(_backup_context(w, env), set_id)


def _backup_context(w: Wiring, env: str) -> Any:
    from cortex_ops.backup import BackupContext

    live = w.history(env).live()
    if live is None:
        raise RefusedError(f"{env} has no live release, so there is nothing to back up", remedy="release first")
    return BackupContext(
        settings=w.settings,
        engine=w.engine,
        store=w.store,
        stack=w.stack,
        environment=env,
        prefix=w.prefix(env),
        lock=live.intent.lock,
        release=live.seq,
        clock=w.clock,
        progress=w.progress,
        run_id=w.run_id,
    )
