"""Where a secret's value comes from: a file of the environment's folder, or a variable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.settings import Settings
from cortex_ops.stack.environments import Environment
from cortex_ops.stack.schema import Stack

MAX_BYTES = 1024 * 1024


def read_secrets(
    stack: Stack,
    environment: Environment,
    names: Iterable[str],
    settings: Settings,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Secret]:
    """Values by name. One `InputError` lists everything that is missing and what to create."""
    env = os.environ if environ is None else environ
    found: dict[str, Secret] = {}
    missing: list[str] = []
    for name in sorted(set(names)):
        source = stack.secrets[name]
        if source.from_ == "env":
            value = env.get(source.variable, "")
            if value:
                found[name] = Secret(value, name)
            else:
                missing.append(f"{name}: set the variable {source.variable}")
            continue
        if not environment.secrets_folder:
            missing.append(f"{name}: give environment {environment.name} a `secrets_folder`")
            continue
        path = (settings.stack_file.parent / environment.secrets_folder / name).resolve()
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            missing.append(f"{name}: create {path}")
            continue
        except OSError as error:
            missing.append(f"{name}: {path} cannot be read ({error.strerror})")
            continue
        if not data.strip() or len(data) > MAX_BYTES:
            missing.append(f"{name}: {path} is {'empty' if not data.strip() else 'larger than 1 MiB'}")
            continue
        found[name] = Secret(data.rstrip(b"\r\n"), name)
    if missing:
        raise InputError(
            f"environment {environment.name} lacks {len(missing)} of its secrets: {missing[0]}",
            details=missing[1:],
            remedy="each value goes into a file of its own, mode 0600, and nowhere else",
        )
    return found
