"""What a backup set says of itself, and the seal that makes it credible.

Encryption proves nothing about origin (recipients are public), so a manifest and a proof are signed, and the
signature covers where they belong: a set cannot be moved to another name or environment.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Literal, TypeVar

from cortex_ops.backup.keys import Signer, Trusted
from cortex_ops.kernel.canonical import canonical
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import ImageRef, Value

MANIFEST = "cortex-ops backup manifest 1"
PROOF = "cortex-ops backup proof 1"
M = TypeVar("M", bound=Value)


class Part(Value):
    """One stored object: sizes in bytes, sha256 (hex) of the bytes as stored, i.e. encrypted."""

    name: str
    key: str
    size: int
    sha256: str
    plain_size: int


class Item(Value):
    """Something that is counted and summed: a table, a collection. Equal content has an equal checksum."""

    name: str
    rows: int
    checksum: str


class Range(Value):
    """A counter that moves on while it is dumped (a sequence): values it may have, None before its first."""

    name: str
    low: int | None
    high: int | None


class Facts(Value):
    """What must be true of a restored copy, taken in the dump's own snapshot. `names` are sets of names."""

    algorithm: str
    items: tuple[Item, ...] = ()
    ranges: tuple[Range, ...] = ()
    names: dict[str, tuple[str, ...]] = {}


class SourceRecord(Value):
    """One store of a set. `details` is what its kind needs to be restored; `milliseconds` by step."""

    store: str
    kind: str
    data_time: str
    image: ImageRef
    server_version: str
    client_version: str
    details: dict[str, str]
    parts: tuple[Part, ...]
    facts: Facts
    milliseconds: dict[str, int] = {}


class Manifest(Value):
    """`manifest.json`: written last, never overwritten. Integers only, so that its canonical form is one."""

    environment: str
    set_id: str
    stack: str
    run_id: str
    actor: str
    started_at: str
    data_time: str
    finished_at: str
    release: int
    source_revision: str
    encoding: Literal["zstd, age"] = "zstd, age"
    tools: dict[str, str]
    recipients: tuple[str, ...]
    sources: tuple[SourceRecord, ...]
    warnings: tuple[str, ...] = ()

    def size(self) -> int:
        return sum(part.size for source in self.sources for part in source.parts)


class Proof(Value):
    """`proof-<n>.json`: the set was restored and found equal. Times in milliseconds."""

    environment: str
    set_id: str
    manifest_sha256: str
    run_id: str
    actor: str
    started_at: str
    recovery_milliseconds: int
    milliseconds: dict[str, int]
    plain_bytes: int
    stored_bytes: int
    tables: int
    rows: int
    image: str


def seal(kind: str, value: Value, signer: Signer) -> bytes:
    """The value with a signature over its kind and its canonical form."""
    payload = value.model_dump(mode="json")
    signature = base64.b64encode(signer.sign(_signed(kind, payload))).decode()
    document = {
        "kind": kind,
        "payload": payload,
        "signature": {"algorithm": "ed25519", "key": signer.key_id, "value": signature},
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def unseal(kind: str, data: bytes, model: type[M], trusted: Trusted, where: str) -> M:
    """The value, after its signature was verified. Raises `OpsError` saying what is wrong with `where`."""
    try:
        document = json.loads(data)
        payload, signature = document["payload"], document.get("signature")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OpsError(f"{where} is damaged: it cannot be parsed") from None
    if not isinstance(signature, dict) or not signature.get("value"):
        raise OpsError(f"{where} has no signature, so nothing says who wrote it")
    if document.get("kind") != kind:
        raise OpsError(f"{where} is no {kind} but {document.get('kind')!r}")
    trusted.verify(str(signature.get("key")), str(signature["value"]), _signed(kind, payload), where)
    try:
        return model.model_validate_json(json.dumps(payload))
    except ValueError as error:
        raise OpsError(f"{where} was written by a version that this one cannot read: {_first(error)}") from None


def _signed(kind: str, payload: Any) -> bytes:
    return kind.encode() + b"\n" + canonical(payload)


def _first(error: ValueError) -> str:
    return " ".join(str(error).splitlines()[1:3])


def manifest_key(environment: str, set_id: str) -> str:
    return f"backups/{environment}/{set_id}/manifest.json"


def read_manifest(store: Store, environment: str, set_id: str, trusted: Trusted) -> tuple[Manifest, bytes]:
    """A set's manifest, verified and where it belongs, and its bytes. `OpsError` when there is none."""
    key = manifest_key(environment, set_id)
    data = store.get(key)
    if data is None:
        raise OpsError(
            f"{environment} has no backup set {set_id}",
            remedy=f"list them with `cortex-ops backup list -e {environment}`",
        )
    manifest = unseal(MANIFEST, data, Manifest, trusted, key)
    if (manifest.environment, manifest.set_id) != (environment, set_id):
        raise OpsError(f"{key} belongs to set {manifest.set_id} of {manifest.environment}: it was moved here")
    return manifest, data
