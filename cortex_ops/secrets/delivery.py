"""Which files each consumer of secrets gets, and the version that names them.

A version is a keyed HMAC of the values: it changes when a value does, and says nothing about it. The pod or
container that mounts version X was started for exactly these values.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.settings import Settings
from cortex_ops.secrets.keys import version_key
from cortex_ops.secrets.providers import read_secrets
from cortex_ops.stack.environments import Environment
from cortex_ops.stack.naming import RUNNER, secret_volume
from cortex_ops.stack.schema import Stack


@dataclass(frozen=True)
class Deliveries:
    """`versions`: consumer → version; `volumes`: volume name → file name → value."""

    versions: dict[str, str]
    volumes: dict[str, dict[str, Secret]]


def consumers(stack: Stack) -> dict[str, list[str]]:
    """Every service, store or test job that needs secrets, with the names it needs."""
    out = {
        name: sorted(set(s.secrets.values())) for name, s in stack.services.items() if s.secrets and not s.optional
    }
    out |= {name: [store.secret] for name, store in stack.stores.items()}
    if stack.tests is not None and stack.tests.secrets:
        out[RUNNER] = sorted(set(stack.tests.secrets.values()))
    return out


def deliveries(
    stack: Stack, environment: Environment, settings: Settings, environ: Mapping[str, str] | None = None
) -> Deliveries:
    """Resolve and arrange everything. Raises `InputError` listing what is missing, or naming what a store refuses."""
    wanted = consumers(stack)
    names = {name for needed in wanted.values() for name in needed}
    values = read_secrets(stack, environment, names, settings, environ)
    key = version_key(settings)
    versions, volumes = {}, {}
    for consumer, needed in wanted.items():
        version = combined_version(key, {name: values[name] for name in needed})
        files = {name: values[name] for name in needed}
        if consumer in stack.stores:
            try:
                files |= store_files(stack.stores[consumer].kind, values[needed[0]])
            except ValueError as error:
                where = f"the secret {needed[0]} of {environment.name}"
                raise InputError(f"{where} is no password for {consumer}: {error}") from None
        versions[consumer] = version
        volumes[secret_volume(stack.name, environment.name, consumer, version)] = files
    return Deliveries(versions, volumes)


def combined_version(key: bytes, values: Mapping[str, Secret]) -> str:
    """Twelve hex characters that name this set of values under this key."""
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for name in sorted(values):
        value = values[name].reveal()
        mac.update(f"{len(name)}:{name}{len(value)}:".encode() + value)
    return mac.hexdigest()[:12]


LONGEST_PASSWORD = 512  # bytes: what the stores' protocols take in one line
_BCRYPT = re.compile(r"\$2[abxy]\$\d{2}\$")
_PLAIN = re.compile(rb"[A-Za-z0-9._~+/=:@%,-]")


def store_files(kind: str, value: Secret) -> dict[str, Secret]:
    """What a store reads its password from when it reads only a configuration file.

    Raises `ValueError` (without the value) for one that this kind of store could not be given or asked for.
    """
    text = value.text()
    if "\n" in text:
        raise ValueError("it has several lines")
    if len(value.reveal()) > LONGEST_PASSWORD:
        raise ValueError(f"it is longer than {LONGEST_PASSWORD} bytes")
    if kind == "redis":
        return {"redis.conf": Secret(f"requirepass {quoted(value.reveal())}\n", "redis.conf")}
    if kind == "nats":
        if _BCRYPT.match(text):
            raise ValueError("NATS would take it for a bcrypt hash of another one")
        return {"nats.conf": Secret(f"authorization {{ token: {quoted(value.reveal())} }}\n", "nats.conf")}
    if kind == "qdrant":
        if not (text.isascii() and text.isprintable()):
            raise ValueError("it travels in an HTTP header, which takes printable ASCII characters only")
        key = {"service": {"api_key": text}}
        return {"qdrant.yaml": Secret(yaml.safe_dump(key, default_style='"', width=10_000), "qdrant.yaml")}
    return {}


def quoted(value: bytes) -> str:
    """In double quotes as redis.conf and nats.conf both read them: whatever is not plain, by its bytes (`\\x22`)."""
    plain = (chr(b) if _PLAIN.match(bytes([b])) else f"\\x{b:02x}" for b in value)
    return f'"{"".join(plain)}"'
