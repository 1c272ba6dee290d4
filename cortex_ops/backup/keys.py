"""Keys of backups: operator files outside the store. Reading them, and making them for a demo.

| file | what | who needs it |
|---|---|---|
| `backup-signing.key` | ed25519, private | what takes backups and drills them |
| `backup-signers.txt` | public keys whose signatures count | what reads backups |
| `backup-recipients.txt` | age recipients, public | what takes backups |
| `backup-drill.identity` | age, private | drills |
| `backup-operator.identity` | age, private | people, in a disaster; keep it elsewhere |
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.files import write_atomic
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNING = "backup-signing.key"
SIGNERS = "backup-signers.txt"
RECIPIENTS = "backup-recipients.txt"
DRILL = "backup-drill.identity"
OPERATOR = "backup-operator.identity"


@dataclass(frozen=True)
class Signer:
    """Signs; `key_id` names the key: the first 16 hex digits of the public key's sha256."""

    key_id: str
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True)
class Trusted:
    """Public keys by id, and the file they came from."""

    keys: dict[str, bytes]
    path: Path

    def verify(self, key_id: str, signature: str, data: bytes, where: str) -> None:
        """Raise `OpsError` unless a trusted key made this signature (base64) of these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        public = self.keys.get(key_id)
        if public is None:
            raise OpsError(
                f"{where} is signed by key {key_id[:16]}, which is none of the trusted signers",
                remedy=f"if that key is yours, add its public half to {self.path}",
            )
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(base64.b64decode(signature), data)
        except (InvalidSignature, ValueError):
            raise OpsError(f"{where} was changed after it was signed, or its signature was") from None


def key_id_of(public: bytes) -> str:
    return sha256(public)[:16]


def load_signer(settings: Settings) -> Signer:
    """The key that signs; its public half must be trusted, or our own backups could not be read."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    path = settings.keys / SIGNING
    raw = _private(path, "sign backups")
    try:
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(raw.reveal(), validate=True))
    except ValueError:
        raise InputError(f"{path} holds no ed25519 key (32 bytes in base64)") from None
    public = _public(private)
    if key_id_of(public) not in load_trusted(settings).keys:
        raise InputError(
            f"{path} is key {key_id_of(public)}, which {settings.keys / SIGNERS} does not list",
            remedy=f"add the line {_signer_line(public)}",
        )
    return Signer(key_id_of(public), private.sign)


def load_trusted(settings: Settings) -> Trusted:
    path = settings.keys / SIGNERS
    keys = {}
    for number, line in _lines(path, "tell whose backups to trust"):
        words = line.split()
        try:
            public = base64.b64decode(words[1], validate=True)
            if words[0] != "ed25519" or len(public) != 32:
                raise ValueError
        except (IndexError, ValueError):
            raise InputError(f"{path}:{number}: expected `ed25519 <public key in base64>`") from None
        keys[key_id_of(public)] = public
    return Trusted(keys, path)


def load_recipients(settings: Settings) -> tuple[str, ...]:
    """Public age keys that can decrypt a backup. At least one."""
    from pyrage import RecipientError, x25519

    path = settings.keys / RECIPIENTS
    found = []
    for number, line in _lines(path, "encrypt backups"):
        try:
            found.append(str(x25519.Recipient.from_str(line)))
        except RecipientError:
            raise InputError(f"{path}:{number}: {line[:80]!r} is no age recipient (age1…)") from None
    if not found:
        raise InputError(f"{path} lists no recipient, so nobody could read the backup")
    return tuple(found)


def load_drill_identity(settings: Settings) -> Any:
    """The private age key of drills (a `pyrage` identity)."""
    from pyrage import IdentityError, x25519

    path = settings.keys / DRILL
    secret = _private(path, "decrypt a backup for a drill")
    lines = [line.strip() for line in secret.text().splitlines()]
    key = next((line for line in lines if line.startswith("AGE-SECRET-KEY-")), "")
    try:
        return x25519.Identity.from_str(Secret(key, DRILL).text())
    except IdentityError:
        raise InputError(f"{path} holds no age identity (AGE-SECRET-KEY-…)") from None


def ensure_keys(settings: Settings) -> list[str]:
    """Make what a demo or a single machine lacks; returns the files that were made, the private ones mode 0600.

    Never replaces or completes keys that people made: recipients without a drill identity stay so.
    """
    folder = settings.keys
    if (folder / SIGNING).exists() and (folder / RECIPIENTS).exists():
        return []
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / ".backup-keys.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        made = [] if (folder / SIGNING).exists() else _make_signing(folder)
        return made + ([] if (folder / RECIPIENTS).exists() else _make_identities(folder))
    finally:
        os.close(handle)


def _make_signing(folder: Path) -> list[str]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    signers = folder / SIGNERS
    before = signers.read_text() if signers.exists() else "# whose signatures on backups count\n"
    write_atomic(signers, (before.rstrip("\n") + f"\n{_signer_line(_public(private))}\n").encode())
    write_atomic(folder / SIGNING, base64.b64encode(raw) + b"\n", mode=0o600)
    return [SIGNERS, SIGNING]


def _make_identities(folder: Path) -> list[str]:
    from pyrage import x25519

    made, recipients = [], ["# who can decrypt backups; `age -R` reads this file, too"]
    for name in (OPERATOR, DRILL):
        if not (folder / name).exists():
            write_atomic(folder / name, f"{x25519.Identity.generate()}\n".encode(), mode=0o600)
            made.append(name)
        identity = x25519.Identity.from_str((folder / name).read_text().strip())
        recipients += [f"# {name}", str(identity.to_public())]
    write_atomic(folder / RECIPIENTS, "\n".join([*recipients, ""]).encode())
    return [*made, RECIPIENTS]


def _public(private: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _signer_line(public: bytes) -> str:
    return f"ed25519 {base64.b64encode(public).decode()}"


def _private(path: Path, purpose: str) -> Secret:
    try:
        if path.stat().st_mode & 0o077:
            raise InputError(f"{path} is readable by others", remedy=f"chmod 600 {path}")
        return Secret(path.read_bytes().strip(), path.name)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read, and is needed to {purpose}: {error.strerror}",
            remedy="put the key there, or set CORTEX_OPS_KEYS to the folder that holds it",
        ) from None


def _lines(path: Path, purpose: str) -> list[tuple[int, str]]:
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read, and is needed to {purpose}: {error.strerror}",
            remedy="put the file there, or set CORTEX_OPS_KEYS to the folder that holds it",
        ) from None
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]
