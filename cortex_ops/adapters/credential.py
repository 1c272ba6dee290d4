"""A docker credential helper that keeps nothing: `python -m cortex_ops.adapters.credential get|store|erase|list`.

The docker CLI writes a login's password into a file (base64 is no protection) unless a helper takes it. This one
answers for the registry that images are pushed to from the environment, and for every other from the person's own
configuration, where it is. It is put in place by `registry.logged_in`.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.redact import Secret

PREFIX = "CORTEX_OPS_REGISTRY_"
HOST, THEIRS = "CORTEX_OPS_LOGIN_HOST", "CORTEX_OPS_LOGIN_CONFIG"
_NONE = "credentials not found in native keychain"  # the CLI knows this sentence and goes on without a login


def credentials(environ: Mapping[str, str]) -> tuple[str, Secret] | None:
    """`CORTEX_OPS_REGISTRY_USER` with `…_PASSWORD` or `…_PASSWORD_FILE`; None when nothing is set. Raises
    `InputError` for half of it."""
    user, value, file = (environ.get(PREFIX + name, "") for name in ("USER", "PASSWORD", "PASSWORD_FILE"))
    if file:
        try:
            value = Path(file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{PREFIX}PASSWORD_FILE: {file} cannot be read: {error}") from error
    if bool(user) != bool(value):
        lacking = "USER" if value else "PASSWORD"
        raise InputError(f"{PREFIX}{lacking} is not set, and a login needs both", remedy="set both, or neither")
    return (user, Secret(value, "registry password")) if user else None


def get(server: str, environ: Mapping[str, str]) -> dict[str, str] | None:
    """What the CLI is told of a server."""
    host = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    given = credentials(environ) if host == environ.get(HOST) else None
    if given is not None:
        return {"ServerURL": server, "Username": given[0], "Secret": given[1].text()}
    try:
        document = json.loads(Path(environ[THEIRS]).read_text())
    except (KeyError, OSError, ValueError):
        return None
    if helper := (document.get("credHelpers") or {}).get(host) or document.get("credsStore"):
        program = [f"docker-credential-{helper}", "get"]
        try:
            done = subprocess.run(program, input=server, capture_output=True, text=True, timeout=30, check=False)
            return dict(json.loads(done.stdout)) if done.returncode == 0 else None
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
    entry = (document.get("auths") or {}).get(server) or (document.get("auths") or {}).get(host) or {}
    if token := entry.get("identitytoken"):
        return {"ServerURL": server, "Username": "<token>", "Secret": token}
    try:
        user, colon, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
    except ValueError:
        return None
    return {"ServerURL": server, "Username": user, "Secret": password} if colon else None


def main(argv: list[str]) -> int:
    asked = sys.stdin.read().strip() if argv != ["list"] else ""
    if argv == ["get"]:
        found = get(asked, os.environ)
        print(_NONE if found is None else json.dumps(found))
        return int(found is None)
    if argv == ["list"]:
        print("{}")
    return 0  # storing and erasing: nothing is kept


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
