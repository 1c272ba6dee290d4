"""What no single field can tell: references, cycles, clashes, impossible combinations. Pure; collects all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from cortex_ops.kernel.names import asset_name, is_label
from cortex_ops.stack.graph import cycle
from cortex_ops.stack.located import Key, Located, Problem, dotted
from cortex_ops.stack.schema import Service, Stack

RESERVED = {"edge", "integration-tests"}
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_INTERPOLATION = re.compile(r"\$\{[^}]*\}")


def check(stack: Stack, located: Located) -> list[Problem]:
    """Every problem of the whole; empty when there is none."""
    found: list[Problem] = []

    def report(path: Key, what: str, expected: str, *, key: bool = False) -> None:
        line, column = located.position(path, key=key)
        found.append(Problem(line, column, dotted(path), what, expected))

    for path, what, expected, key in _all(stack):
        report(path, what, expected, key=key)
    return found


Finding = tuple[Key, str, str, bool]


def _all(stack: Stack) -> Iterator[Finding]:
    yield from _names(stack)
    yield from _references(stack)
    yield from _paths(stack)
    yield from _storage(stack)
    yield from _texts(stack)
    yield from _environments(stack)


def _names(stack: Stack) -> Iterator[Finding]:
    taken: dict[str, str] = {}
    groups: dict[str, Mapping[str, object]] = {
        "services": stack.services,
        "stores": stack.stores,
        "host_services": stack.host_services,
    }
    if not is_label(stack.name) or len(stack.name) > 20:
        yield ("name",), repr(stack.name), "a lower-case name of at most 20 letters, digits and single hyphens", False
    for group, members in groups.items():
        for name in members:
            path = (group, name)
            if not is_label(name) or len(name) > 30:
                yield path, repr(name), "a lower-case name of at most 30 letters, digits and single hyphens", True
            elif name in RESERVED:
                yield path, repr(name), f"another name: {name} is what the tool calls its own part", True
            elif asset_name(name) in taken:
                yield path, repr(name), f"a name that does not collide with {taken[asset_name(name)]}", True
            else:
                taken[asset_name(name)] = f"{group}.{name}"
    others: dict[str, Mapping[str, object]] = {"libraries": stack.libraries, "secrets": stack.secrets}
    for group, members in others.items():
        for name in members:
            if not is_label(name):
                yield (group, name), repr(name), "a lower-case name of letters, digits and single hyphens", True
    for name in stack.environments:
        if not is_label(name) or len(name) > 20:
            yield ("environments", name), repr(name), "a lower-case name of at most 20 characters", True


def _references(stack: Stack) -> Iterator[Finding]:
    callable_ = {*stack.services, *stack.stores, *stack.host_services, "edge"}
    for name, service in stack.services.items():
        base: Key = ("services", name)
        for i, called in enumerate(service.calls):
            if called not in callable_:
                yield (*base, "calls", i), repr(called), f"one of {_list(callable_)}", False
            elif called == name:
                yield (*base, "calls", i), repr(called), "another service than itself", False
        for i, library in enumerate(service.bundles):
            if library not in stack.libraries:
                yield (*base, "bundles", i), repr(library), f"one of {_list(stack.libraries)}", False
        for variable, secret in service.secrets.items():
            yield from _secret(stack, (*base, "secrets", variable), secret)
        if service.migrations is not None and service.migrations.store not in stack.stores:
            yield (
                (*base, "migrations", "store"),
                repr(service.migrations.store),
                f"one of {_list(stack.stores)}",
                False,
            )
    for name, store in stack.stores.items():
        yield from _secret(stack, ("stores", name, "secret"), store.secret)
        if store.kind == "postgres" and not (store.database and store.owner):
            yield ("stores", name), "a postgres store without database and owner", "both", True
    for name, source in stack.secrets.items():
        if source.from_ == "env" and not _VARIABLE.match(source.variable):
            yield ("secrets", name), repr(source.variable), "the name of an environment variable in `variable`", True
    if stack.tests is not None:
        for variable, secret in stack.tests.secrets.items():
            yield from _secret(stack, ("tests", "secrets", variable), secret)
        routed = {n for n, s in stack.services.items() if s.route}
        for variable, value in stack.tests.env.items():
            if value.startswith("route:") and value.removeprefix("route:") not in routed:
                yield ("tests", "env", variable), repr(value), f"route: and one of {_list(routed)}", False
    if stack.backup is not None:
        for i, name in enumerate(stack.backup.stores):
            if name not in stack.stores:
                yield ("backup", "stores", i), repr(name), f"one of {_list(stack.stores)}", False
    loop = cycle({n: [c for c in s.calls if c in stack.services] for n, s in stack.services.items()})
    if loop:
        yield ("services", loop[0], "calls"), f"a cycle of calls: {' → '.join(loop)}", "no cycle", False


def _secret(stack: Stack, path: Key, name: str) -> Iterator[Finding]:
    if name not in stack.secrets:
        yield path, repr(name), f"one of the secrets {_list(stack.secrets)}", False


def _paths(stack: Stack) -> Iterator[Finding]:
    def inside(path: Key, text: str) -> Iterator[Finding]:
        if not text or text.startswith("/") or ".." in PurePosixPath(text).parts:
            yield path, repr(text), "a path inside the monorepo", False

    for name, library in stack.libraries.items():
        yield from inside(("libraries", name, "path"), library.path)
    for name, service in stack.services.items():
        yield from inside(("services", name, "path"), service.path)
        yield from inside(("services", name, "build", "dockerfile"), service.build.dockerfile)
        for i, path in enumerate(service.writable):
            if not path.startswith("/") or path == "/":
                yield ("services", name, "writable", i), repr(path), "an absolute path below /", False
        for i, argument in enumerate(service.probes.command[:1]):
            if not argument:
                yield ("services", name, "probes", "command", i), "an empty word", "a program", False


def _storage(stack: Stack) -> Iterator[Finding]:
    for name, service in stack.services.items():
        many = service.replicas > 1 or service.scale is not None
        for i, volume in enumerate(service.volumes):
            if many and not volume.shared:
                yield (
                    ("services", name, "volumes", i),
                    "a volume for one writer on a service with several replicas",
                    "`shared: true`, one replica, or state kept in a store",
                    False,
                )
        if service.scale is not None and service.scale.min > service.scale.max:
            yield ("services", name, "scale", "min"), str(service.scale.min), f"at most {service.scale.max}", False


def _texts(stack: Stack) -> Iterator[Finding]:
    def values(base: Key, env: dict[str, str]) -> Iterator[Finding]:
        for key, value in env.items():
            path = (*base, key)
            if not _VARIABLE.match(key):
                yield path, repr(key), "a variable name of letters, digits and _", True
            if "\n" in value or "\r" in value:
                yield path, "a value of several lines", "one line; give a key or certificate as a secret", False
            if "\0" in value:
                yield path, "a NUL byte", "text", False
            for written in _INTERPOLATION.findall(value):
                hint = "`:?` or `:-`" if "?:" in written or ":" in written else "the value itself"
                yield path, repr(written), f"a literal value, since nothing is interpolated here ({hint})", False

    for name, service in stack.services.items():
        yield from values(("services", name, "env"), service.env)
        yield from values(("services", name, "secrets"), service.secrets)
        both = set(service.env) & set(service.secrets)
        for key in sorted(both):
            yield ("services", name, "secrets", key), "a variable that `env` sets too", "it in one place", True
    if stack.tests is not None:
        yield from values(("tests", "env"), stack.tests.env)


def _environments(stack: Stack) -> Iterator[Finding]:
    if not stack.environments:
        yield ("environments",), "no environment", "at least one", False
    for name, spec in stack.environments.items():
        base: Key = ("environments", name)
        for service in spec.overrides:
            if service not in stack.services:
                yield (*base, "overrides", service), repr(service), f"one of {_list(stack.services)}", True
        for service in spec.ports:
            if service not in stack.services or stack.services[service].route is None:
                routed = [n for n, s in stack.services.items() if s.route]
                yield (*base, "ports", service), repr(service), f"one of the routed {_list(routed)}", True
        if spec.from_ and (spec.from_ not in stack.environments or spec.from_ == name):
            others = [n for n in stack.environments if n != name]
            yield (*base, "from"), repr(spec.from_), f"one of {_list(others)}", False
        if spec.protected and not spec.from_:
            yield base, "a protected environment without `from`", "the environment whose tested images it takes", True
        yield from _ports(stack, name)
    yield from _listeners(stack)


def _ports(stack: Stack, name: str) -> Iterator[Finding]:
    spec = stack.environments[name]
    taken = {h.port: f"host_services.{n}" for n, h in stack.host_services.items()}
    for service, model in stack.services.items():
        if model.route is None:
            continue
        port = spec.ports.get(service, model.route.port)
        given: Key = ("environments", name, "ports", service) if service in spec.ports else _route(service)
        if port in taken:
            yield given, f"port {port}", f"a port that {taken[port]} does not have", False
        taken.setdefault(port, f"services.{service}")


def _listeners(stack: Stack) -> Iterator[Finding]:
    taken: dict[str, str] = {"8404": "the proxy's own control listener"}
    for service, model in stack.services.items():
        if model.route is not None:
            if model.route.port in taken:
                yield (
                    _route(service),
                    f"port {model.route.port}",
                    f"one that {taken[model.route.port]} has not",
                    False,
                )
            taken.setdefault(model.route.port, f"services.{service}")


def _route(service: str) -> Key:
    return ("services", service, "route", "port")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "(none is defined)"


def replicas_of(service: Service) -> int:
    """How many run where nothing scales by itself."""
    return service.scale.min if service.scale is not None else service.replicas
