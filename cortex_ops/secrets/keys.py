"""Operator files outside the store: the key that versions secrets, and generated secrets for a demo."""

from __future__ import annotations

import fcntl
import os
import secrets as randomness
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cortex_ops.kernel.errors import InputError, RefusedError
from cortex_ops.kernel.files import sync_folder
from cortex_ops.kernel.redact import remember
from cortex_ops.kernel.settings import Settings
from cortex_ops.stack.environments import Environment
from cortex_ops.stack.schema import Stack

SHORTEST = 16  # bytes of a key


def version_key(settings: Settings) -> bytes:
    """The HMAC key, made on first use (32 random bytes, mode 0600)."""
    return key_file(settings.keys / "secret-versions.key")


def key_file(path: Path) -> bytes:
    """Read a key, or make it; two processes that make it at once agree on the one that was first.

    Raises `InputError` for a file that cannot be read or is no key.
    """
    try:
        if not path.exists():
            with _alone(path.parent):
                _create(path, randomness.token_bytes(32))
        key = path.read_bytes()
    except OSError as error:
        raise InputError(f"the key {path} cannot be read or made: {error.strerror}") from None
    if len(key) < SHORTEST:
        raise InputError(
            f"the key {path} has {len(key)} bytes, which is too short to be one",
            remedy="bring it back from where you keep it, or remove it: then every secret gets a new version",
        )
    remember(key)
    return key


def ensure_demo_secrets(stack: Stack, environment: Environment, settings: Settings) -> list[str]:
    """Generate what is missing of the file secrets of an environment; returns the names that were made.

    Raises `RefusedError` where something is missing of a protected environment.
    """
    if not environment.secrets_folder:
        return []
    folder = Path(os.path.normpath(settings.stack_file.parent / environment.secrets_folder))
    wanted = [name for name, source in stack.secrets.items() if source.from_ == "file"]
    missing = [name for name in wanted if not os.path.lexists(folder / name)]
    if missing and environment.protected:
        raise RefusedError(
            f"{environment.name} is protected and lacks {', '.join(missing)}; nothing is generated for it",
            remedy=f"put each value into a file of its own in {folder}, mode 0600",
        )
    if not missing:
        return []
    try:
        with _alone(folder):
            return [name for name in wanted if _create(folder / name, randomness.token_urlsafe(24).encode() + b"\n")]
    except OSError as error:
        raise InputError(f"secrets cannot be put into {folder}: {error.strerror}") from None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes; the kernel lets go of it when we end, however we end."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _create(path: Path, data: bytes) -> bool:
    """Make a private file, whole or not at all; False when there is one. What a killed run left is overwritten."""
    if os.path.lexists(path):
        return False
    half = path.with_suffix(".new")
    half.unlink(missing_ok=True)  # its mode would stay
    with os.fdopen(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    half.replace(path)
    sync_folder(path.parent)
    return True
