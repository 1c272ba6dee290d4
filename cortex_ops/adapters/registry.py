"""Image registries through `docker buildx imagetools`, and the login that a push needs.

Credentials are those of the docker configuration (as CI's login step leaves them), or `CORTEX_OPS_REGISTRY_USER` with
`CORTEX_OPS_REGISTRY_PASSWORD` or `…_PASSWORD_FILE`, given to the CLI by its standard input and kept for one build.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.redact import Secret

_ABSENT = ("not found", "manifest unknown", "name unknown", "does not exist")
PREFIX = "CORTEX_OPS_REGISTRY_"


def manifest(engine: Engine, reference: str, environ: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """The descriptor of what a reference names in its registry; None when the registry says it has none."""
    argv = engine.argv("buildx", "imagetools", "inspect", reference, "--format", "{{json .Manifest}}")
    done = engine.run(argv, what=f"looking up {reference}", deadline=60, check=False, env=environ)
    if done.code == 0:
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    said = (done.tail(1) or ["no reason given"])[0].removeprefix("ERROR: ")
    if any(words in said for words in _ABSENT):
        return None
    raise OpsError(f"the registry of {reference} does not answer: {said}")


def credentials(environ: Mapping[str, str]) -> tuple[str, Secret] | None:
    """From the environment; None when nothing is set there. Raises `InputError` for half of it."""
    user, value, file = (environ.get(PREFIX + name, "") for name in ("USER", "PASSWORD", "PASSWORD_FILE"))
    if file:
        try:
            value = Path(file).read_text().strip()
        except OSError as error:
            raise InputError(f"{PREFIX}PASSWORD_FILE: {file} cannot be read: {error.strerror}") from error
    if bool(user) != bool(value):
        lacking = "USER" if value else "PASSWORD"
        raise InputError(f"{PREFIX}{lacking} is not set, and a login needs both", remedy="set both, or neither")
    return (user, Secret(value, "registry password")) if user else None


@contextmanager
def logged_in(engine: Engine, environ: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """What to add to the environment of docker commands that reach the registry of the settings."""
    given = credentials(os.environ if environ is None else environ)
    registry = engine.settings.registry
    if given is None or not registry:
        yield {}
        return
    user, password = given
    host = registry.split("/")[0]
    with tempfile.TemporaryDirectory(prefix="cortex-ops-login-") as folder:
        login = {**_configuration(engine, Path(folder)), "DOCKER_CONFIG": folder}
        argv = engine.argv("login", "--username", user, "--password-stdin", host)
        try:
            engine.run(argv, what=f"logging in to {host}", stdin=password.reveal(), deadline=60, env=login)
        except OpsError as error:
            raise OpsError(
                f"the registry {host} refuses the login of {user}",
                details=error.details[-3:],
                remedy=f"correct {PREFIX}USER and {PREFIX}PASSWORD",
            ) from error
        yield login


def _configuration(engine: Engine, folder: Path) -> dict[str, str]:
    """A docker configuration of our own with the person's contexts, proxies and plugins, but no credential helper:
    one would keep the password after us."""
    theirs = Path(engine.settings.docker_config or os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        document = json.loads((theirs / "config.json").read_text())
    except (OSError, ValueError):
        document = {}
    for name in ("credsStore", "credHelpers"):
        document.pop(name, None)
    (folder / "config.json").write_text(json.dumps(document))
    (folder / "config.json").chmod(0o600)
    for name in ("cli-plugins", "contexts"):
        if (theirs / name).exists():
            (folder / name).symlink_to(theirs / name)
    return {"BUILDX_CONFIG": os.environ.get("BUILDX_CONFIG", str(theirs / "buildx"))}
