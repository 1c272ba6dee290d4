"""Operator files outside the store: the key that versions secrets, and generated secrets for a demo."""

from __future__ import annotations

import os
import secrets as randomness
from pathlib import Path

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.files import write_atomic
from cortex_ops.kernel.redact import remember
from cortex_ops.kernel.settings import Settings
from cortex_ops.stack.environments import Environment
from cortex_ops.stack.schema import Stack


def version_key(settings: Settings) -> bytes:
    """The HMAC key, made on first use (32 random bytes, mode 0600)."""
    return key_file(settings.keys / "secret-versions.key")


def key_file(path: Path) -> bytes:
    """Read a key, or make it; two processes that make it at once agree on the one that was first."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            handle = os.open(path.with_suffix(".new"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            raise InputError(
                f"{path.with_suffix('.new')} is left from an interrupted start", remedy="remove it and run again"
            ) from None
        with os.fdopen(handle, "wb") as stream:
            stream.write(randomness.token_bytes(32))
        try:
            os.link(path.with_suffix(".new"), path)
        except FileExistsError:
            pass
        finally:
            path.with_suffix(".new").unlink()
    key = path.read_bytes()
    remember(key)
    return key


def ensure_demo_secrets(stack: Stack, environment: Environment, settings: Settings) -> list[str]:
    """Generate what is missing of the file secrets of an environment; returns the names that were made."""
    if not environment.secrets_folder:
        return []
    folder = settings.stack_file.parent / environment.secrets_folder
    made = []
    for name, source in stack.secrets.items():
        path = folder / name
        if source.from_ == "file" and not path.exists():
            write_atomic(path, randomness.token_urlsafe(24).encode() + b"\n", mode=0o600)
            made.append(name)
    if made:
        folder.chmod(0o700)
    return made
