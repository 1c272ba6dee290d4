"""Renderings of one environment: for a release, and for use by hand."""

from __future__ import annotations

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.values import Bundle, ImageLock, Placed, Placement, Value
from cortex_ops.pipeline.images import build
from cortex_ops.pipeline.inputs import Inputs, check_environment, put, read_inputs
from cortex_ops.release.migrations import Migrations
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.results import Rendering, RenderStep
from cortex_ops.stack.naming import secret_object
from cortex_ops.wiring import Wiring


class Capabilities(Value):
    """What a target can do, as a run found it: every rendering of the run is of the same."""

    found: dict[str, str]


def capabilities(w: Wiring, env: str) -> dict[str, str]:
    """Asked of the target once in a run."""
    if w.environment(env).target != "kubernetes":
        return {}
    name = f"{env}-capabilities"
    known = w.store.get(f"runs/{w.run_id}/{name}.json")
    if known is None:
        put(w, name, Capabilities(found=w.target(env).capabilities()))
        known = w.store.get(f"runs/{w.run_id}/{name}.json")
    return Capabilities.from_json(known or b"{}").found


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

    def render_inputs(self, versions: dict[str, str]) -> RenderInputs:
        return RenderInputs(
            stack=self.stack,
            environment=self.environment,
            lock=self.inputs.lock,
            secret_versions=versions,
            capabilities=capabilities(self.w, self.env),
        )

    def place(self, placement: Placement, versions: dict[str, str]) -> Placed:
        inputs = self.render_inputs(versions)
        if self.environment.target == "kubernetes":
            from cortex_ops.render.kubernetes import render_kubernetes as render_target
        else:
            from cortex_ops.render.compose import render_compose as render_target
        neutral = render_target(inputs)
        bundle = neutral if placement.seq == 0 else render_target(inputs, placement)
        return Placed(
            placement=placement,
            bundle=bundle,
            lock=self.inputs.lock,
            secret_versions=versions,
            identity=neutral.content_hash(),
        )


def render(w: Wiring, env: str) -> RenderStep:
    """What would run, and how it differs from what is live."""
    began = w.clock.monotonic()
    renderer = Renderer(w, env, read_inputs(w))
    versions, _ = renderer.secrets()
    placed = renderer.place(Placement(seq=0, slot="a"), versions)
    return RenderStep(
        target=renderer.environment.target,
        renderings=_judged(renderer.render_inputs(versions), placed.bundle),
        identity=placed.identity,
        diff=_diff(w, env, placed, renderer),
        seconds=round(w.clock.monotonic() - began, 3),
    )


def _judged(inputs: RenderInputs, bundle: Bundle) -> dict[str, Rendering]:
    if inputs.environment.target == "kubernetes":
        return _judged_manifests(inputs, bundle)
    from cortex_ops.render.compose.policy import judge

    return {"compose": Rendering(files=bundle.files, findings={"policy": tuple(judge(bundle.files))})}


def _judged_manifests(inputs: RenderInputs, bundle: Bundle) -> dict[str, Rendering]:
    """The manifests, which may be applied and are the system that the compose files are; and what watches them."""
    from cortex_ops.render.compose import render_compose
    from cortex_ops.render.equivalence import differences
    from cortex_ops.render.kubernetes.policy import judge, judge_each
    from cortex_ops.render.monitoring import monitoring_files

    unequal = tuple(one.line() for one in differences(inputs, render_compose(inputs), bundle))
    watching = monitoring_files(inputs)
    return {
        "kubernetes": Rendering(
            files=bundle.files, findings={"policy": tuple(judge(bundle.files)), "equivalence": unequal}
        ),
        "monitoring": Rendering(files=watching, findings={"policy": tuple(judge_each(watching))}),
    }


def preflight(w: Wiring, env: str) -> list[str]:
    """All that would make the rollout fail and can be known before anything is changed; one sentence each."""
    renderer = Renderer(w, env, read_inputs(w))
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
    if live_objects := w.target(env).difference(placed):
        return live_objects
    after = renderer.place(before.placement, placed.secret_versions).bundle.files
    out: list[str] = []
    for name in sorted(before.bundle.files.keys() | after.keys()):
        old, new = before.bundle.files.get(name, ""), after.get(name, "")
        lines = list(
            difflib.unified_diff(old.splitlines(), new.splitlines(), f"live/{name}", f"new/{name}", "", "", 2)
        )
        out += [line.rstrip() for line in lines[:400]]
    return "```diff\n" + "\n".join(out) + "\n```"


def render_for_hand(w: Wiring, env: str, kind: str = "compose") -> Bundle:
    """Files for use without this tool: of the images that were built last, or plain builds in development. `kind` is
    `compose` or `kubernetes`."""
    from cortex_ops.render.compose import render_development
    from cortex_ops.render.compose.readme import with_readme

    environment = w.environment(env)
    if kind == "kubernetes":
        return _manifests(w, env)
    if environment.mode == "development":
        lock = ImageLock(source_revision="", source_dirty=True, images={})
        inputs = RenderInputs(stack=w.stack, environment=environment, lock=lock, secret_versions={})
        return with_readme(render_development(inputs, w.monorepo), inputs)
    renderer = _renderer_for_hand(w, env)
    versions, _ = renderer.secrets()
    placed = renderer.place(Placement(seq=0, slot="a"), versions)
    inputs = RenderInputs(stack=w.stack, environment=environment, lock=placed.lock, secret_versions=versions)
    return with_readme(placed.bundle, inputs)


def _manifests(w: Wiring, env: str) -> Bundle:
    from cortex_ops.render.kubernetes import render_kubernetes
    from cortex_ops.render.kubernetes.readme import with_readme

    check_environment(w, env)
    renderer = _renderer_for_hand(w, env)
    versions, volumes = renderer.secrets()
    inputs = renderer.render_inputs(versions)
    bundle = render_kubernetes(inputs)
    judged = _judged_manifests(inputs, bundle).values()
    wrong = [said for one in judged for found in one.findings.values() for said in found]
    if wrong:
        raise OpsError(f"the manifests of {env} may not be applied: {wrong[0]}", details=wrong[1:])
    files = {name: text for one in judged for name, text in one.files.items()}
    return with_readme(bundle.model_copy(update={"files": files}), inputs, volumes)


def apply_secrets(w: Wiring, env: str) -> list[str]:
    """Deliver what rendered files mount; returns the names of the volumes, or of the Secrets of a cluster."""
    check_environment(w, env)
    renderer = _renderer_for_hand(w, env)
    versions, volumes = renderer.secrets()
    w.target(env).deliver_secrets(renderer.place(Placement(seq=0, slot="a"), versions), volumes)
    if renderer.environment.target == "kubernetes":
        return sorted(secret_object(consumer, version) for consumer, version in versions.items())
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
        w.monorepo  # noqa: B018 - raises where it is no folder
        deliveries(w.stack, w.environment(env), w.settings)  # a missing secret is said before the minutes of a build
        build(w, env)
    return Renderer(w, env, read_inputs(w))
