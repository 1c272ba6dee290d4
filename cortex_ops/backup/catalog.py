"""Which sets there are and what each is worth: unfinished, complete, proven, held, or not to be trusted.

`backups/<env>/<set id>/` holds `begun.json` (written first), the parts, `manifest.json` (written last; before it
there is no set), `proof-<n>.json` for each drill that passed, and `hold.json` while somebody holds the set.
"""

from __future__ import annotations

import re
from typing import Literal

from cortex_ops.backup.keys import Trusted
from cortex_ops.backup.manifest import (
    MANIFEST,
    PROOF,
    Manifest,
    Proof,
    manifest_key,
    read_manifest,
    unseal,
)
from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.clock import Clock, iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import Value

Status = Literal["unfinished", "complete", "proven", "suspect"]
_SET = re.compile(r"[0-9]{8}T[0-9]{6}Z-[a-z0-9-]+")


class SetState(Value):
    """One set. `problem` says why a suspect one is suspect; `recovery_seconds` is of its newest proof."""

    set_id: str
    status: Status
    data_time: str = ""
    size: int = 0
    release: int = 0
    proofs: int = 0
    recovery_seconds: float = 0.0
    held: str = ""
    problem: str = ""

    def line(self) -> str:
        """For a person: what it is worth, how old its data is, how long it took to come back."""
        parts = [self.set_id, self.status]
        if self.data_time:
            parts.append(f"data of {self.data_time}, {_amount(self.size)}, release r{self.release}")
        if self.proofs:
            parts.append(f"restored in {self.recovery_seconds:.1f} s")
        parts += [f"held: {self.held}"] if self.held else []
        parts += [self.problem] if self.problem else []
        return "  ".join(parts)


def _amount(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


class Hold(Value):
    """A mark that keeps a set from being removed, whatever the rules say."""

    reason: str
    actor: str
    at: str


def folder(environment: str, set_id: str) -> str:
    return f"backups/{environment}/{set_id}/"


def set_ids(store: Store, environment: str) -> list[str]:
    """All sets that have any object, newest first; ids begin with their time."""
    base = f"backups/{environment}/"
    names = {key.removeprefix(base).split("/")[0] for key in store.list(base)}
    return sorted((name for name in names if _SET.fullmatch(name)), reverse=True)


def list_sets(store: Store, environment: str, trusted: Trusted) -> list[SetState]:
    """Every set, newest first. Never raises for a bad one: it is listed as suspect, with the problem."""
    return [state_of(store, environment, set_id, trusted) for set_id in set_ids(store, environment)]


def state_of(store: Store, environment: str, set_id: str, trusted: Trusted) -> SetState:
    held = hold_of(store, environment, set_id)
    reason = held.reason if held is not None else ""
    if store.get(manifest_key(environment, set_id)) is None:
        return SetState(set_id=set_id, status="unfinished", held=reason)
    try:
        manifest, data = read_manifest(store, environment, set_id, trusted)
        found = proofs(store, manifest, data, trusted)
    except OpsError as error:
        return SetState(set_id=set_id, status="suspect", held=reason, problem=error.message)
    return SetState(
        set_id=set_id,
        status="proven" if found else "complete",
        data_time=manifest.data_time,
        size=manifest.size(),
        release=manifest.release,
        proofs=len(found),
        recovery_seconds=found[-1].recovery_milliseconds / 1000 if found else 0.0,
        held=reason,
    )


def proofs(store: Store, manifest: Manifest, data: bytes, trusted: Trusted) -> list[Proof]:
    """The proofs of this very manifest, oldest first. Raises `OpsError` for a forged or foreign one."""
    found = []
    for key in _proof_keys(store, manifest.environment, manifest.set_id):
        proof = unseal(PROOF, store.get(key) or b"", Proof, trusted, key)
        if (proof.environment, proof.set_id, proof.manifest_sha256) != (
            manifest.environment,
            manifest.set_id,
            sha256(data),
        ):
            raise OpsError(f"{key} proves another set: it was moved here")
        found.append(proof)
    return found


def next_proof_key(store: Store, environment: str, set_id: str) -> str:
    keys = _proof_keys(store, environment, set_id)
    return f"{folder(environment, set_id)}proof-{_number(keys[-1]) + 1 if keys else 1}.json"


def _proof_keys(store: Store, environment: str, set_id: str) -> list[str]:
    return sorted(store.list(folder(environment, set_id) + "proof-"), key=_number)


def _number(key: str) -> int:
    digits = re.search(r"proof-([0-9]+)\.json$", key)
    return int(digits[1]) if digits else 0


def newest(store: Store, environment: str) -> Manifest | None:
    """The newest set's manifest as it says, for how old the data is; nothing here is verified."""
    for set_id in set_ids(store, environment):
        data = store.get(manifest_key(environment, set_id))
        if data is not None:
            return unverified(data, manifest_key(environment, set_id))
    return None


def unverified(data: bytes, where: str) -> Manifest:
    """A manifest without asking who signed it: only for what harms nobody when it is a lie."""
    import json

    try:
        return Manifest.model_validate_json(json.dumps(json.loads(data)["payload"]))
    except (ValueError, KeyError, TypeError):
        raise OpsError(f"{where} is damaged: it cannot be parsed as a {MANIFEST}") from None


def hold_of(store: Store, environment: str, set_id: str) -> Hold | None:
    data = store.get(folder(environment, set_id) + "hold.json")
    return Hold.from_json(data) if data is not None else None


def hold(store: Store, environment: str, set_id: str, *, reason: str, actor: str, clock: Clock) -> Hold:
    """Mark a set as held; an existing mark stays. Raises `OpsError` when there is no such set."""
    if store.get(manifest_key(environment, set_id)) is None:
        raise OpsError(f"{environment} has no backup set {set_id}")
    mark = Hold(reason=reason, actor=actor, at=iso(clock.now()))
    store.put_if_absent(folder(environment, set_id) + "hold.json", mark.to_json())
    return hold_of(store, environment, set_id) or mark


def release_hold(store: Store, environment: str, set_id: str) -> None:
    store.delete(folder(environment, set_id) + "hold.json")


def remove_set(store: Store, environment: str, set_id: str) -> None:
    """The manifest first: from then on there is no set, and what an interruption leaves is unfinished."""
    store.delete(manifest_key(environment, set_id))
    base = folder(environment, set_id)
    keys = store.list(base)
    for key in sorted(keys, key=lambda key: key.endswith("/begun.json")):
        store.delete(key)
