"""A manifest is believed only when a trusted key signed it, for the place where it is found."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cortex_ops.backup import catalog
from cortex_ops.backup.keys import Trusted, ensure_keys, load_signer, load_trusted
from cortex_ops.backup.manifest import MANIFEST, PROOF, Manifest, Proof, manifest_key, read_manifest, seal, unseal
from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.clock import ManualClock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.settings import Settings, load_settings
from cortex_ops.store.local import LocalStore
from tests.support.backup_values import SET, a_manifest


def settings_in(folder: Path) -> Settings:
    return load_settings({"CORTEX_OPS_PROJECT": str(folder), "CORTEX_OPS_STATE": str(folder / "state")})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_in(tmp_path)
    ensure_keys(made)
    return made


@pytest.fixture
def trusted(settings: Settings) -> Trusted:
    return load_trusted(settings)


def a_proof(manifest_data: bytes, **changes: Any) -> Proof:
    given = {
        "environment": "local",
        "set_id": SET,
        "manifest_sha256": sha256(manifest_data),
        "run_id": "r",
        "actor": "a",
        "started_at": "2026-01-02T03:04:05.000Z",
        "recovery_milliseconds": 2500,
        "milliseconds": {},
        "plain_bytes": 1,
        "stored_bytes": 1,
        "tables": 1,
        "rows": 1,
        "image": "i",
    }
    return Proof.model_validate({**given, **changes})


def test_what_was_sealed_is_unsealed(settings: Settings, trusted: Trusted) -> None:
    manifest = a_manifest()
    assert unseal(MANIFEST, seal(MANIFEST, manifest, load_signer(settings)), Manifest, trusted, "m") == manifest


def test_layout_of_the_file_does_not_matter_to_the_signature(settings: Settings, trusted: Trusted) -> None:
    data = seal(MANIFEST, a_manifest(), load_signer(settings))
    rewritten = json.dumps(json.loads(data), sort_keys=True).encode()
    assert unseal(MANIFEST, rewritten, Manifest, trusted, "m") == a_manifest()


def _changed(data: bytes, change: Any) -> bytes:
    document = json.loads(data)
    change(document)
    return json.dumps(document).encode()


def _set(path: str, value: Any) -> Any:
    *folders, last = path.split(".")

    def change(document: dict[str, Any]) -> None:
        for name in folders:
            document = document[name]
        document[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_set("payload.release", 2), "m was changed after it was signed"),
        (_set("payload.recipients", ["age1attacker"]), "m was changed after it was signed"),
        (_set("payload.extra", 1), "m was changed after it was signed"),
        (_set("signature.value", base64.b64encode(b"0" * 64).decode()), "m was changed after it was signed"),
        (_set("signature.value", "no base64!"), "m was changed after it was signed"),
        (_set("signature.value", ""), "m has no signature"),
        (_set("signature", None), "m has no signature"),
        (lambda document: document.pop("signature"), "m has no signature"),
        (_set("signature.key", "0123456789abcdef"), "m is signed by key 0123456789abcdef, which is none of"),
        (_set("kind", PROOF), "m is no cortex-ops backup manifest 1"),
    ],
)
def test_a_changed_manifest_is_refused_with_its_sentence(
    settings: Settings, trusted: Trusted, change: Any, sentence: str
) -> None:
    data = seal(MANIFEST, a_manifest(), load_signer(settings))
    with pytest.raises(OpsError, match=sentence):
        unseal(MANIFEST, _changed(data, change), Manifest, trusted, "m")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"payload": 1}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused_without_a_trace(trusted: Trusted, data: bytes) -> None:
    with pytest.raises(OpsError, match=r"m (is damaged|has no signature)"):
        unseal(MANIFEST, data, Manifest, trusted, "m")


def test_a_manifest_of_a_foreign_signer_is_refused(settings: Settings, trusted: Trusted, tmp_path: Path) -> None:
    foreign = settings_in(tmp_path / "foreign")
    ensure_keys(foreign)
    signer = load_signer(foreign)
    with pytest.raises(OpsError, match=f"signed by key {signer.key_id}, which is none of the trusted signers"):
        unseal(MANIFEST, seal(MANIFEST, a_manifest(), signer), Manifest, trusted, "m")


def test_a_proof_does_not_pass_for_a_manifest_even_with_a_good_signature(
    settings: Settings, trusted: Trusted
) -> None:
    sealed = seal(PROOF, a_manifest(), load_signer(settings))
    with pytest.raises(OpsError, match="m was changed after it was signed"):
        unseal(MANIFEST, _changed(sealed, _set("kind", MANIFEST)), Manifest, trusted, "m")


def test_a_manifest_of_a_later_format_is_said_to_be_that(settings: Settings, trusted: Trusted) -> None:
    class Later(Manifest):
        model_config = {"extra": "allow"}

    later = Later.model_validate({**a_manifest().model_dump(), "new_field": 1})
    with pytest.raises(OpsError, match="written by a version that this one cannot read: new_field"):
        unseal(MANIFEST, seal(MANIFEST, later, load_signer(settings)), Manifest, trusted, "m")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.mark.parametrize(("environment", "set_id"), [("production", SET), ("local", "20260102T030406Z-abc")])
def test_a_set_that_was_moved_elsewhere_is_refused(
    settings: Settings, trusted: Trusted, store: LocalStore, environment: str, set_id: str
) -> None:
    store.put_if_absent(manifest_key(environment, set_id), seal(MANIFEST, a_manifest(), load_signer(settings)))
    with pytest.raises(OpsError, match=f"belongs to set {SET} of local: it was moved here"):
        read_manifest(store, environment, set_id, trusted)


def test_a_set_that_is_not_there_is_one_sentence(trusted: Trusted, store: LocalStore) -> None:
    with pytest.raises(OpsError, match="local has no backup set x"):
        read_manifest(store, "local", "x", trusted)


# -- the catalog -------------------------------------------------------------------------------------------------


def _publish(store: LocalStore, settings: Settings, set_id: str = SET) -> bytes:
    data = seal(MANIFEST, a_manifest(set_id), load_signer(settings))
    store.put_if_absent(f"backups/local/{set_id}/begun.json", b"{}")
    store.put_if_absent(f"backups/local/{set_id}/postgres.data", b"data")
    store.put_if_absent(manifest_key("local", set_id), data)
    return data


def test_the_catalog_says_what_each_set_is_worth(settings: Settings, trusted: Trusted, store: LocalStore) -> None:
    proven = _publish(store, settings)
    store.put_if_absent(f"backups/local/{SET}/proof-1.json", seal(PROOF, a_proof(proven), load_signer(settings)))
    _publish(store, settings, "20260103T030405Z-abc")
    store.put_if_absent("backups/local/20260104T030405Z-abc/begun.json", b"{}")
    store.put_if_absent("backups/local/20260105T030405Z-abc/manifest.json", b"{}")
    found = catalog.list_sets(store, "local", trusted)
    assert [(one.set_id[:8], one.status) for one in found] == [
        ("20260105", "suspect"),
        ("20260104", "unfinished"),
        ("20260103", "complete"),
        ("20260102", "proven"),
    ]
    assert "is damaged" in found[0].problem
    assert (found[3].proofs, found[3].recovery_seconds) == (1, 2.5)
    assert "restored in 2.5 s" in found[3].line()


@pytest.mark.parametrize("change", [{"set_id": "20260103T030405Z-abc"}, {"manifest_sha256": "0" * 64}])
def test_a_proof_of_another_set_proves_nothing(
    settings: Settings, trusted: Trusted, store: LocalStore, change: dict[str, str]
) -> None:
    data = _publish(store, settings)
    store.put_if_absent(
        f"backups/local/{SET}/proof-1.json", seal(PROOF, a_proof(data, **change), load_signer(settings))
    )
    state = catalog.state_of(store, "local", SET, trusted)
    assert state.status == "suspect"
    assert "proves another set" in state.problem


def test_proofs_are_numbered_on(settings: Settings, store: LocalStore) -> None:
    for number in (1, 2, 10):
        store.put_if_absent(f"backups/local/{SET}/proof-{number}.json", b"")
    assert catalog.next_proof_key(store, "local", SET) == f"backups/local/{SET}/proof-11.json"


def test_a_hold_is_a_mark_that_the_first_one_sets(settings: Settings, trusted: Trusted, store: LocalStore) -> None:
    _publish(store, settings)
    clock = ManualClock()
    catalog.hold(store, "local", SET, reason="audit", actor="ann", clock=clock)
    assert catalog.hold(store, "local", SET, reason="other", actor="bob", clock=clock).reason == "audit"
    assert catalog.state_of(store, "local", SET, trusted).held == "audit"
    catalog.release_hold(store, "local", SET)
    assert catalog.state_of(store, "local", SET, trusted).held == ""
    with pytest.raises(OpsError, match="local has no backup set none"):
        catalog.hold(store, "local", "none", reason="x", actor="x", clock=clock)


def test_removal_ends_the_set_before_anything_else_of_it(settings: Settings, store: LocalStore) -> None:
    _publish(store, settings)
    removed: list[str] = []

    class Noting(LocalStore):
        def delete(self, key: str) -> None:
            removed.append(key.split("/")[-1])
            super().delete(key)

    catalog.remove_set(Noting(store.root), "local", SET)
    assert removed == ["manifest.json", "postgres.data", "begun.json"]
    assert store.list("backups/") == []


def test_the_newest_set_is_told_by_its_manifest_not_by_what_was_begun(settings: Settings, store: LocalStore) -> None:
    assert catalog.newest(store, "local") is None
    _publish(store, settings)
    store.put_if_absent("backups/local/20260104T030405Z-abc/begun.json", b"{}")
    found = catalog.newest(store, "local")
    assert found is not None and found.set_id == SET
