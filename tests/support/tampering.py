"""Forging a set: the same manifest under another id with other content, signed again or not."""

from __future__ import annotations

from collections.abc import Callable

from cortex_ops.backup.context import BackupContext
from cortex_ops.backup.keys import load_drill_identity, load_signer, load_trusted
from cortex_ops.backup.manifest import MANIFEST, Manifest, manifest_key, read_manifest, seal
from cortex_ops.backup.plain import BytesPlain
from cortex_ops.backup.streams import fetch_part, store_part

Change = Callable[[bytes], bytes]


def plain_of(ctx: BackupContext, set_id: str, name: str) -> bytes:
    """A part's content, decrypted with the drill identity."""
    manifest, _ = read_manifest(ctx.store, ctx.environment, set_id, load_trusted(ctx.settings))
    part = next(part for part in manifest.sources[0].parts if part.name == name)
    out = bytearray()
    fetch_part(ctx.store, part, load_drill_identity(ctx.settings), out.extend)
    return bytes(out)


def forge(ctx: BackupContext, set_id: str, new_id: str, changes: dict[str, Change]) -> Manifest:
    """A set `new_id` whose parts are changed, encrypted and signed with the real keys; the facts stay."""
    manifest, _ = read_manifest(ctx.store, ctx.environment, set_id, load_trusted(ctx.settings))
    source = manifest.sources[0]
    parts = []
    for part in source.parts:
        data = changes.get(part.name, lambda data: data)(plain_of(ctx, set_id, part.name))
        key = part.key.replace(set_id, new_id)
        parts.append(store_part(ctx.store, key, part.name, BytesPlain(data), manifest.recipients))
    forged = manifest.model_copy(
        update={"set_id": new_id, "sources": (source.model_copy(update={"parts": tuple(parts)}),)}
    )
    sealed = seal(MANIFEST, forged, load_signer(ctx.settings))
    assert ctx.store.put_if_absent(manifest_key(ctx.environment, new_id), sealed)
    return forged


def once(old: bytes, new: bytes) -> Change:
    """Replace the only occurrence."""

    def change(data: bytes) -> bytes:
        assert data.count(old) == 1, data.count(old)
        return data.replace(old, new)

    return change
