"""Taking a backup: locked, cleaned up after the dead, every source saved, the signed manifest last.

Until the manifest is there nothing exists; whatever goes wrong before, what was written is removed again, by
this run or by the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from datetime import datetime

from cortex_ops.backup import catalog, retention
from cortex_ops.backup.containers import Crew
from cortex_ops.backup.context import BackupContext, BackupResult, SourceResult
from cortex_ops.backup.keys import Signer, Trusted, ensure_keys, load_recipients, load_signer, load_trusted
from cortex_ops.backup.manifest import MANIFEST, Manifest, Part, SourceRecord, manifest_key, read_manifest, seal
from cortex_ops.backup.sources import Saved, Source, source_of
from cortex_ops.backup.streams import LEVEL, Plain, store_part
from cortex_ops.kernel.clock import iso
from cortex_ops.kernel.errors import InputError, OpsError


def run_backup(ctx: BackupContext) -> BackupResult:
    """Back up all stores that the stack names. Raises `OpsError`; then no set was published."""
    began = ctx.clock.monotonic()
    sources = chosen_sources(ctx)
    prepare_keys(ctx)
    signer, recipients, trusted = load_signer(ctx.settings), load_recipients(ctx.settings), load_trusted(ctx.settings)
    crew = Crew(ctx.engine, ctx.prefix, ctx.run_id, "backup")
    with ctx.store.lock(f"backup-{ctx.environment}", holder=ctx.holder(), seconds=ctx.deadline):
        reaped = reap(ctx, crew)
        started = ctx.clock.now()
        set_id = begin(ctx, started)
        try:
            saved = [save(ctx, crew, set_id, name, source, recipients) for name, source in sources.items()]
            manifest = describe(ctx, set_id, started, saved, recipients)
            publish(ctx, manifest, signer, trusted)
        except BaseException:
            with contextlib.suppress(OpsError):
                if ctx.store.get(manifest_key(ctx.environment, set_id)) is None:
                    catalog.remove_set(ctx.store, ctx.environment, set_id)
            raise
        report = judge(ctx, trusted)
        removal = retention.remove_obsolete(ctx.store, report)
    return _result(ctx, manifest, signer, ctx.clock.monotonic() - began, reaped, report, removal)


def chosen_sources(ctx: BackupContext) -> dict[str, Source]:
    """A source for each store in `backup.stores`; `InputError` for what this version cannot back up."""
    if ctx.stack.backup is None:
        raise InputError("the stack file has no `backup`, so there is nothing to back up")
    return {name: source_of(ctx.stack.stores[name].kind, name) for name in ctx.stack.backup.stores}


def prepare_keys(ctx: BackupContext) -> None:
    """Make missing keys where that harms nobody: an unprotected environment whose store is on this machine.

    Anywhere else a machine that lost its keys would quietly encrypt to new ones that nobody has kept.
    """
    spec = ctx.stack.environments.get(ctx.environment)
    if ctx.settings.store.startswith("s3://") or (spec is not None and spec.protected):
        return
    if made := ensure_keys(ctx.settings):
        ctx.progress.say(f"made {', '.join(made)} in {ctx.settings.keys}: without a copy of them backups are lost")


def reap(ctx: BackupContext, crew: Crew) -> list[str]:
    """Remove what runs left that died: containers, unfinished writes, parts of sets that have no manifest."""
    names = [f"container {name}" for name in crew.reap()]
    count = ctx.store.reap(f"backups/{ctx.environment}/")
    names += [f"{count} unfinished write{'s' if count > 1 else ''}"] if count else []
    for set_id in catalog.set_ids(ctx.store, ctx.environment):
        if ctx.store.get(manifest_key(ctx.environment, set_id)) is None:
            catalog.remove_set(ctx.store, ctx.environment, set_id)
            names.append(f"unfinished set {set_id}")
    for name in names:
        ctx.progress.say(f"removed {name}, left by a run that died")
    return names


def begin(ctx: BackupContext, started: datetime) -> str:
    """Claim a set id: its time, its run, and a number when one run makes two within a second."""
    run = re.sub(r"[^a-z0-9]+", "-", ctx.run_id.lower()).strip("-")[:12] or secrets.token_hex(4)
    base = f"{started:%Y%m%dT%H%M%SZ}-{run}"
    begun = {"run_id": ctx.run_id, "pid": os.getpid(), "started_at": iso(started), "actor": ctx.settings.actor}
    for number in range(1, 100):
        set_id = base if number == 1 else f"{base}-{number}"
        key = catalog.folder(ctx.environment, set_id) + "begun.json"
        if ctx.store.put_if_absent(key, json.dumps(begun).encode()):
            return set_id
    raise OpsError(f"run {ctx.run_id} began a hundred backups within a second")


def save(
    ctx: BackupContext, crew: Crew, set_id: str, name: str, source: Source, recipients: tuple[str, ...]
) -> Saved:
    """Save one store into the set."""
    base = catalog.folder(ctx.environment, set_id)

    def sink(part: str, plain: Plain) -> Part:
        return store_part(ctx.store, f"{base}{name}.{part}.sql.zst.age", part, plain, recipients)

    with ctx.progress.step(f"backing up {name} of {ctx.environment}"):
        return source.save(ctx, crew, name, sink)


def describe(
    ctx: BackupContext, set_id: str, started: datetime, saved: list[Saved], recipients: tuple[str, ...]
) -> Manifest:
    import pyrage
    import zstandard

    records = tuple(one.record for one in saved)
    return Manifest(
        environment=ctx.environment,
        set_id=set_id,
        stack=ctx.stack.name,
        run_id=ctx.run_id,
        actor=ctx.settings.actor,
        started_at=iso(started),
        data_time=min(record.data_time for record in records),
        finished_at=iso(ctx.clock.now()),
        release=ctx.release,
        source_revision=ctx.lock.source_revision,
        tools={
            "zstd": f"level {LEVEL}, zstandard {zstandard.__version__}",
            "age": f"pyrage {getattr(pyrage, '__version__', '')}".strip(),
        },
        recipients=recipients,
        sources=records,
        warnings=tuple(warning for one in saved for warning in one.warnings),
    )


def publish(ctx: BackupContext, manifest: Manifest, signer: Signer, trusted: Trusted) -> None:
    """Write the manifest, which makes the set exist, and read it back. Never overwrites."""
    key = manifest_key(ctx.environment, manifest.set_id)
    for source in manifest.sources:
        for part in source.parts:
            with ctx.store.open_reader(part.key) as reader:
                if reader.size != part.size:
                    raise OpsError(f"{part.key} has {reader.size} bytes, and {part.size} were written")
    if not ctx.store.put_if_absent(key, seal(MANIFEST, manifest, signer)):
        raise OpsError(f"{key} exists already, and a manifest is never overwritten")
    read_manifest(ctx.store, ctx.environment, manifest.set_id, trusted)


def judge(ctx: BackupContext, trusted: Trusted) -> retention.Report:
    assert ctx.stack.backup is not None
    sets = catalog.list_sets(ctx.store, ctx.environment, trusted)
    return retention.judge(ctx.environment, sets, ctx.stack.backup.keep, ctx.clock.now())


def _result(
    ctx: BackupContext,
    manifest: Manifest,
    signer: Signer,
    seconds: float,
    reaped: list[str],
    report: retention.Report,
    removal: retention.Removal,
) -> BackupResult:
    parts = tuple(_source_result(record) for record in manifest.sources)
    plain, stored = sum(s.plain_bytes for s in parts), sum(s.stored_bytes for s in parts)
    dumping = sum(s.steps.get("dump", 0.0) for s in parts)
    return BackupResult(
        environment=ctx.environment,
        set_id=manifest.set_id,
        key=manifest_key(ctx.environment, manifest.set_id),
        data_time=manifest.data_time,
        finished_at=manifest.finished_at,
        release=manifest.release,
        parts=parts,
        plain_bytes=plain,
        stored_bytes=stored,
        ratio=round(plain / stored, 3) if stored else 0.0,
        throughput=round(plain / dumping, 1) if dumping else 0.0,
        rows=sum(s.rows for s in parts),
        signer=signer.key_id,
        recipients=manifest.recipients,
        seconds=round(seconds, 3),
        timings={f"{s.store}: {step}": value for s in parts for step, value in s.steps.items()},
        warnings=manifest.warnings,
        reaped=tuple(reaped),
        kept=report.kept(),
        removed=removal.removed,
        problems=removal.problems,
    )


def _source_result(record: SourceRecord) -> SourceResult:
    steps = {step: value / 1000 for step, value in record.milliseconds.items()}
    return SourceResult(
        store=record.store,
        kind=record.kind,
        version=record.server_version,
        tables=len(record.facts.items),
        rows=sum(item.rows for item in record.facts.items),
        plain_bytes=sum(part.plain_size for part in record.parts),
        stored_bytes=sum(part.size for part in record.parts),
        sha256=max(record.parts, key=lambda part: part.size).sha256,
        seconds=round(sum(steps.values()), 3),
        steps=steps,
    )
