"""Where a secret's value comes from: a file of the environment's folder, or a variable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.files import read_regular
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
    """Values by name. One `InputError` lists everything that is missing or unfit, where, and never a value."""
    env = os.environ if environ is None else environ
    found: dict[str, Secret] = {}
    problems: list[str] = []
    for name in sorted(set(names)):
        source = stack.secrets[name]
        if source.from_ == "env":
            where, what = f"the variable {source.variable}", f"set the variable {source.variable}"
        elif environment.secrets_folder:
            path = Path(os.path.normpath(settings.stack_file.parent / environment.secrets_folder / name))
            where, what = str(path), f"create {path}"
        else:
            problems.append(f"{name}: give environment {environment.name} a `secrets_folder`")
            continue
        try:
            data = os.fsencode(env[source.variable]) if source.from_ == "env" else read_regular(path, MAX_BYTES)
            found[name] = Secret(_fit(data), name)
        except (KeyError, FileNotFoundError):
            problems.append(f"{name}: {what}")
        except OSError as error:
            problems.append(f"{name}: {where} cannot be read ({error.strerror})")
        except ValueError as error:
            problems.append(f"{name}: {where} {error}")
    if problems:
        raise InputError(
            f"environment {environment.name} lacks {len(problems)} of its secrets: {problems[0]}",
            details=problems[1:],
            remedy="each value goes into a file of its own, mode 0600, and nowhere else",
        )
    return found


def _fit(data: bytes) -> bytes:
    """The value: the text without the line end that editors put after it. Raises `ValueError` saying what is odd."""
    if len(data) > MAX_BYTES:
        raise ValueError("is larger than 1 MiB")
    if data.startswith(b"\xef\xbb\xbf"):
        raise ValueError("begins with a byte-order mark, which would be part of the value: save it without")
    try:
        data.decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text: save it as UTF-8, or bytes in base64") from None
    value = data.rstrip(b"\r\n")
    if not value.strip():
        raise ValueError("is empty")
    if b"\r" in value:
        raise ValueError("has Windows line ends (CRLF), which would be part of the value: save it with LF")
    if b"\0" in value:
        raise ValueError("holds a NUL byte, which no password or variable can")
    return value
