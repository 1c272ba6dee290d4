"""Source and images: what is built, or taken from the environment that proved it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.errors import InputError, RefusedError
from cortex_ops.kernel.values import ImageLock
from cortex_ops.pipeline.inputs import Inputs, check_environment, put
from cortex_ops.release.migrations import Migrations, read_migrations
from cortex_ops.results import BuildStep, ImageResult, SourceResult
from cortex_ops.wiring import Wiring

if TYPE_CHECKING:
    from cortex_ops.images.retention import Decision


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

    result = build_images(w.stack, w.settings, w.engine, w.store, w.progress)
    inputs = Inputs(lock=result.lock, stack_hash=_keep_stack(w), migrations=_migrations(w))
    put(w, "inputs", inputs)
    return BuildStep(
        lock=result.lock,
        images=_results(result.lock, result.built, result.seconds, result.findings),
        seconds=round(w.clock.monotonic() - began, 3),
    )


def _results(
    lock: ImageLock,
    built: Collection[str] = (),
    seconds: Mapping[str, float] = MappingProxyType({}),
    findings: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> tuple[ImageResult, ...]:
    return tuple(
        ImageResult(
            name=name,
            reference=ref.reference(),
            fingerprint=ref.fingerprint,
            built=name in built,
            size=ref.size,
            seconds=seconds.get(name, 0.0),
            findings=findings.get(name, ()),
        )
        for name, ref in sorted(lock.images.items())
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
    put(w, "inputs", inputs)
    w.progress.say(f"images of {reference}, built once and tested there; nothing is built here")
    return BuildStep(
        lock=inputs.lock,
        images=_results(inputs.lock),
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
    registry = w.settings.registry
    return retention.table(
        w.engine, w.store, protected, unused=policy.unused_span(), registry=registry, clock=w.clock
    )
