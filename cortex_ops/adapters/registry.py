"""Image registries through `docker buildx imagetools`, and the login that a push or a pull needs.

Who is logged in is said by the docker configuration (as CI's login step leaves it), or by `CORTEX_OPS_REGISTRY_USER`
with `…_PASSWORD` or `…_PASSWORD_FILE` for the registry that images are pushed to.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cortex_ops.adapters.credential import HOST, PREFIX, THEIRS, credentials
from cortex_ops.adapters.engine import Engine, away
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.redact import Secret

_ABSENT = ("not found", "manifest unknown", "name unknown", "does not exist")
_DENIED = re.compile(r"unauthorized|authorization failed|no basic auth|denied|403 Forbidden", re.I)


def manifest(engine: Engine, reference: str) -> dict[str, Any] | None:
    """The descriptor of what a reference names in its registry; None when the registry says it has none."""
    argv = engine.argv("buildx", "imagetools", "inspect", reference, "--format", "{{json .Manifest}}")
    done = engine.run(argv, what=f"looking up {reference}", deadline=60, check=False)
    if done.code == 0:
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    said = (done.tail(1) or ["no reason given"])[0].removeprefix("ERROR: ")
    if any(words in said for words in _ABSENT):
        return None
    raise refused(reference, said)


def refused(reference: str, said: str) -> OpsError:
    """One sentence for a registry that cannot be used, and why: its certificate, the login, or no answer."""
    host = reference.split("/")[0]
    if (at := max(said.find("x509"), said.find("tls:"))) >= 0:
        return OpsError(
            f"the certificate of registry {host} is not trusted: {said[at:]}",
            remedy="set CORTEX_OPS_CA_BUNDLE to its authority's certificate, and give it to the engine, too: "
            f"/etc/docker/certs.d/{host}/ca.crt on the engine's machine",
        )
    if _DENIED.search(said):
        remedy = f"docker login {host}, or set {PREFIX}USER and {PREFIX}PASSWORD"
        return OpsError(
            f"the registry {host} asks for a login that may use {reference}", details=[said], remedy=remedy
        )
    return OpsError(
        f"the registry of {reference} does not answer: {said}", remedy="is its address right, does it run?"
    )


@contextmanager
def logged_in(engine: Engine) -> Iterator[None]:
    """A block in which docker commands of `engine` reach the registry of the settings. The password goes to the CLI
    by standard input, is asked of `credential` afterwards, and is written nowhere."""
    given = credentials(os.environ)
    registry = engine.settings.registry.split("/")[0]
    ours = engine.settings.docker_config
    theirs = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    apart = bool(ours) and theirs.resolve() != Path(ours).resolve() and (theirs / "config.json").is_file()
    if not registry or (given is None and not apart):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="cortex-ops-login-") as folder:
        engine.extra_env = _configuration(Path(folder), theirs, Path(ours or theirs), registry)
        try:
            if given is not None:
                _log_in(engine, registry, *given)
            yield
        finally:
            engine.extra_env = {}


def _log_in(engine: Engine, registry: str, user: str, password: Secret) -> None:
    argv = engine.argv("login", "--username", user, "--password-stdin", registry)
    done = engine.run(argv, what=f"logging in to {registry}", stdin=password.reveal(), deadline=60, check=False)
    if done.code == 0:
        return
    said = (done.tail(1) or ["no reason given"])[0]
    if away(said) or not _DENIED.search(said):
        raise refused(registry, said)
    raise OpsError(
        f"the registry {registry} refuses the login of {user}",
        details=[said],
        remedy=f"correct {PREFIX}USER and {PREFIX}PASSWORD",
    )


def _configuration(folder: Path, theirs: Path, ours: Path, registry: str) -> dict[str, str]:
    """A docker configuration with the person's contexts and proxies, our plugins, and a helper that keeps nothing in
    place of whatever keeps passwords there."""
    try:
        document = json.loads((theirs / "config.json").read_text())
    except (OSError, ValueError):
        document = {}
    for name in ("auths", "credHelpers"):
        document.pop(name, None)
    (folder / "config.json").write_text(json.dumps({**document, "credsStore": "cortex-ops"}))
    for name, place in (("cli-plugins", ours), ("contexts", theirs)):
        if (place / name).exists():
            (folder / name).symlink_to(place / name)
    helper = folder / "docker-credential-cortex-ops"
    source, program = shlex.quote(str(Path(__file__).resolve().parents[2])), shlex.quote(sys.executable)
    helper.write_text(f'#!/bin/sh\nPYTHONPATH={source} exec {program} -m cortex_ops.adapters.credential "$@"\n')
    helper.chmod(0o700)
    return {
        "DOCKER_CONFIG": str(folder),
        "BUILDX_CONFIG": os.environ.get("BUILDX_CONFIG", str(ours / "buildx")),
        "PATH": f"{folder}:{os.environ.get('PATH', os.defpath)}",
        HOST: registry,
        THEIRS: str(theirs / "config.json"),
    }
