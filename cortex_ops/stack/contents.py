"""Checks of what single services, stores and texts contain: paths, storage, variables. Pure.

What holds between the parts (references, clashes, environments) is in `checks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from cortex_ops.stack.located import Key
from cortex_ops.stack.schema import Service, Stack

Finding = tuple[Key, str, str, bool]  # path, what was found, what is expected, whether it is about the key

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OURS = {"PORT": "`port`", "HOST": "nothing: it is 0.0.0.0", "CORTEX_RELEASE": "nothing", "CORTEX_LIVE_URL": "nothing"}
SECRETS = "/run/secrets"
_INTERPOLATION = re.compile(r"\$\{[^}]*\}")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9._:/-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{64})?")
_URL_PATH = re.compile(r"/[!-~]*")


def of_services(stack: Stack) -> Iterator[Finding]:
    for name, library in stack.libraries.items():
        yield from _inside(("libraries", name, "path"), library.path)
    for name, service in stack.services.items():
        base: Key = ("services", name)
        yield from _inside((*base, "path"), service.path)
        yield from _inside((*base, "build", "dockerfile"), service.build.dockerfile)
        if service.migrations is not None:
            yield from _inside((*base, "migrations", "path"), service.migrations.path)
        yield from _probes(base, service)
        yield from _storage(base, service)
        yield from _variables((*base, "env"), service.env, ours=True)
        yield from _variables((*base, "secrets"), service.secrets, ours=True)
        yield from _arguments((*base, "build", "arguments"), service.build.arguments)
        for key in sorted(set(service.env) & set(service.secrets)):
            yield (*base, "secrets", key), "a variable that `env` sets too", "it in one place", True
        yield from _exposure(base, service)
    for name, store in stack.stores.items():
        if not _IMAGE.fullmatch(store.image):
            yield ("stores", name, "image"), repr(store.image), "an image, such as postgres:15", False
    for name, host in stack.host_services.items():
        if not _URL_PATH.fullmatch(host.health):
            yield ("host_services", name, "health"), repr(host.health), "a path of a URL, such as /health", False
        if host.image and not _IMAGE.fullmatch(host.image):
            yield ("host_services", name, "image"), repr(host.image), "an image, such as ollama/ollama:0.5.7", False
        if host.data and not host.data.startswith("/"):
            yield ("host_services", name, "data"), repr(host.data), "an absolute path in `image`", False
        if (host.image and not host.optional) or (host.data and not host.image):
            what = "`optional: true`, `image` and `data` together"
            yield ("host_services", name), "`image` or `data` alone", what, True
    if stack.tests is not None:
        yield from _inside(("tests", "build", "dockerfile"), stack.tests.build.dockerfile)
        yield from _variables(("tests", "env"), stack.tests.env)
        yield from _variables(("tests", "secrets"), stack.tests.secrets)
        yield from _arguments(("tests", "build", "arguments"), stack.tests.build.arguments)
    for name, spec in stack.environments.items():
        for member, override in spec.overrides.items():
            place: Key = ("environments", name, "overrides", member, "env")
            yield from _variables(place, override.env, ours=True)
            secret = stack.services[member].secrets if member in stack.services else {}
            for key in sorted(set(override.env) & set(secret)):
                yield (*place, key), f"a variable that services.{member}.secrets sets", "it in one place", True


def known(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "(none is defined)"


def _inside(path: Key, text: str) -> Iterator[Finding]:
    if not text or text.startswith("/") or ".." in PurePosixPath(text).parts:
        yield path, repr(text), "a path inside the monorepo", False


def _probes(base: Key, service: Service) -> Iterator[Finding]:
    for kind in ("live", "ready"):
        text = getattr(service.probes, kind)
        if not _URL_PATH.fullmatch(text):
            yield (*base, "probes", kind), repr(text), "a path of a URL, such as /ready", False
    if service.probes.command and not service.probes.command[0]:
        yield (*base, "probes", "command", 0), "an empty word", "a program", False


def _exposure(base: Key, service: Service) -> Iterator[Finding]:
    for key in service.exposure:
        if key not in service.secrets:
            yield (*base, "exposure", key), repr(key), f"one of the variables {known(service.secrets)}", True
    if service.exposure and not service.command:
        yield (*base, "exposure"), "no `command`", "`command` too: a shell reads the value, then becomes it", True
    if service.command and not service.command[0]:
        yield (*base, "command", 0), "an empty word", "a program", False


def _storage(base: Key, service: Service) -> Iterator[Finding]:
    many = service.replicas > 1 or service.scale is not None
    taken = {SECRETS: "the secrets"}
    for i, path in enumerate(service.writable):
        yield from _own_path((*base, "writable", i), path, taken)
        taken.setdefault(path.rstrip("/"), f"writable[{i}]")
    for i, volume in enumerate(service.volumes):
        yield from _own_path((*base, "volumes", i, "path"), volume.path, taken)
        taken.setdefault(volume.path.rstrip("/"), f"volumes[{i}]")
        if many and not volume.shared:
            yield (
                (*base, "volumes", i),
                "a volume for one writer on a service with several replicas",
                "`shared: true`, one replica, or state kept in a store",
                False,
            )
    if service.scale is not None and service.scale.min > service.scale.max:
        yield (*base, "scale"), f"min {service.scale.min}", f"at most max, which is {service.scale.max}", False


def _own_path(place: Key, path: str, taken: dict[str, str]) -> Iterator[Finding]:
    plain = PurePosixPath(path)
    if not path.startswith("/") or plain == PurePosixPath("/") or ".." in plain.parts or ":" in path:
        yield place, repr(path), "an absolute path below /, without `..` or `:`", False
    elif path.rstrip("/") in taken:
        yield place, repr(path), f"another path than {taken[path.rstrip('/')]} has", False
    elif PurePosixPath(SECRETS) in plain.parents or plain in PurePosixPath(SECRETS).parents:
        yield place, repr(path), f"a path that neither holds {SECRETS} nor is in it", False


def _arguments(base: Key, arguments: dict[str, str]) -> Iterator[Finding]:
    for key in arguments:
        if not VARIABLE.fullmatch(key):
            yield (*base, key), repr(key), "an argument's name of letters, digits and _", True


def _variables(base: Key, env: dict[str, str], *, ours: bool = False) -> Iterator[Finding]:
    for key, value in env.items():
        path = (*base, key)
        if not VARIABLE.fullmatch(key):
            yield path, repr(key), "a variable name of letters, digits and _", True
        if ours and key in OURS:
            yield path, f"{key}, which the tool sets itself", OURS[key], True
        if "\n" in value or "\r" in value:
            yield path, "a value of several lines", "one line; give a key or certificate as a secret", False
        for written in _INTERPOLATION.findall(value):
            yield path, repr(written), _no_interpolation(written), False


def _no_interpolation(written: str) -> str:
    """`${X?:d}` is a slip for `:?` or `:-`; nothing is interpolated here either way."""
    literal = "a literal value, since nothing is interpolated here"
    if re.match(r"\$\{\w*\?:", written):
        return f"{literal} (where it is, this would be `:?` for a required or `:-` for a default value)"
    return f"{literal}; what differs by environment goes under `environments.<name>.overrides`"
