"""Proving a set: restored into a throwaway and compared with what was true when it was taken.

A drill decrypts, so it has an identity of its own. It reads the store and writes one thing: the proof.
"""

from __future__ import annotations

from typing import Any

from cortex_ops.backup import catalog
from cortex_ops.backup.containers import Crew
from cortex_ops.backup.context import BackupContext, DrillResult
from cortex_ops.backup.keys import DRILL, Signer, load_drill_identity, load_signer, load_trusted
from cortex_ops.backup.manifest import PROOF, Manifest, Proof, SourceRecord, read_manifest, seal
from cortex_ops.backup.restore import plan
from cortex_ops.backup.sources import Restored, Source, Take, source_of
from cortex_ops.backup.streams import check_size, fetch_part, verify_part
from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.clock import iso, parse_iso
from cortex_ops.kernel.errors import OpsError


def run_drill(ctx: BackupContext, set_id: str | None = None, *, verify_first: bool = False) -> DrillResult:
    """Drill the newest set, or the one named. Raises `OpsError` saying what is wrong with it.

    `verify_first` reads everything once before anything is restored; otherwise it is verified as it streams.
    """
    began, started = ctx.clock.monotonic(), ctx.clock.now()
    signer, trusted = load_signer(ctx.settings), load_trusted(ctx.settings)
    identity = load_drill_identity(ctx.settings)
    crew = Crew(ctx.engine, ctx.prefix, ctx.run_id, "drill")
    with ctx.store.lock(f"drill-{ctx.environment}", holder=ctx.holder(), seconds=ctx.deadline):
        reaped = tuple(f"container {name}" for name in crew.reap())
        chosen = set_id or newest_set(ctx)
        with ctx.progress.step(f"restore drill of set {chosen}"):
            manifest, data = read_manifest(ctx.store, ctx.environment, chosen, trusted)
            check_readable(ctx, manifest, identity)
            if verify_first:
                for record in manifest.sources:
                    for part in record.parts:
                        verify_part(ctx.store, part)
            restored = {r.store: _restore(ctx, crew, r, identity) for r in manifest.sources}
        seconds = ctx.clock.monotonic() - began
        proof = _proof(ctx, manifest, data, restored, iso(started))
        key = _record(ctx, proof, signer)
    age = (started - parse_iso(manifest.data_time)).total_seconds()
    recovery = proof.recovery_milliseconds / 1000
    return DrillResult(
        environment=ctx.environment,
        set_id=chosen,
        proof=key,
        data_time=manifest.data_time,
        age_seconds=round(age, 3),
        recovery_seconds=recovery,
        seconds=round(seconds, 3),
        steps={step: value / 1000 for step, value in proof.milliseconds.items()},
        plain_bytes=proof.plain_bytes,
        stored_bytes=proof.stored_bytes,
        throughput=round(proof.plain_bytes / recovery, 1) if recovery else 0.0,
        tables=proof.tables,
        rows=proof.rows,
        image=proof.image,
        reaped=reaped,
    )


def newest_set(ctx: BackupContext) -> str:
    """The newest set that has a manifest. A bad newest one is drilled, and fails; it is not passed over."""
    manifest_ends = "/manifest.json"
    keys = ctx.store.list(f"backups/{ctx.environment}/")
    finished = {key.split("/")[2] for key in keys if key.endswith(manifest_ends)}
    for one in catalog.set_ids(ctx.store, ctx.environment):
        if one in finished:
            return one
    raise OpsError(f"{ctx.environment} has no backup set to drill", remedy="run the backup job first")


def check_readable(ctx: BackupContext, manifest: Manifest, identity: Any) -> None:
    """What can be known before a container starts: all parts are there in their size, and are for us."""
    plan(manifest)
    if str(identity.to_public()) not in manifest.recipients:
        raise OpsError(
            f"set {manifest.set_id} is not encrypted to the drill identity {str(identity.to_public())[:16]}…",
            remedy=f"put the identity it was encrypted to into {ctx.settings.keys / DRILL}",
        )
    for record in manifest.sources:
        for part in record.parts:
            with ctx.store.open_reader(part.key) as reader:
                check_size(part, reader.size)


def _restore(ctx: BackupContext, crew: Crew, record: SourceRecord, identity: Any) -> Restored:
    source: Source = source_of(record.kind, record.store)
    parts = {part.name: part for part in record.parts}

    def fetch(name: str, take: Take) -> int:
        return fetch_part(ctx.store, parts[name], identity, take).plain

    restored = source.restore_aside(ctx, crew, record, fetch)
    if wrong := source.compare(record.facts, restored.facts):
        raise OpsError(
            f"the restored {record.store} differs from what was backed up: {wrong[0]}",
            details=wrong[1:25],
            remedy="this set proves nothing; look at it before an older one is removed",
        )
    return restored


def _proof(
    ctx: BackupContext, manifest: Manifest, data: bytes, restored: dict[str, Restored], started_at: str
) -> Proof:
    parts = [part for record in manifest.sources for part in record.parts]
    items = [item for record in manifest.sources for item in record.facts.items]
    return Proof(
        environment=ctx.environment,
        set_id=manifest.set_id,
        manifest_sha256=sha256(data),
        run_id=ctx.run_id,
        actor=ctx.settings.actor,
        started_at=started_at,
        recovery_milliseconds=round(sum(one.recovered for one in restored.values()) * 1000),
        milliseconds={
            f"{store}: {step}": round(value * 1000)
            for store, one in restored.items()
            for step, value in one.seconds.items()
        },
        plain_bytes=sum(part.plain_size for part in parts),
        stored_bytes=sum(part.size for part in parts),
        tables=len(items),
        rows=sum(item.rows for item in items),
        image=manifest.sources[0].image.reference(),
    )


def _record(ctx: BackupContext, proof: Proof, signer: Signer) -> str:
    """Write the proof under the next number."""
    for _ in range(10):
        key = catalog.next_proof_key(ctx.store, proof.environment, proof.set_id)
        if ctx.store.put_if_absent(key, seal(PROOF, proof, signer)):
            return key
    raise OpsError(f"the proof of set {proof.set_id} could not be recorded: others record proofs all the time")
