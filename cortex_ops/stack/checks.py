"""What no single field can tell: references, cycles, clashes, impossible combinations. Pure; collects all."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from cortex_ops.kernel.names import asset_name, is_label
from cortex_ops.stack.clusters import of_clusters
from cortex_ops.stack.contents import VARIABLE, Finding, known, of_services
from cortex_ops.stack.graph import cycle
from cortex_ops.stack.located import Key, Located, Problem, dotted
from cortex_ops.stack.naming import CONTROL_PORT, EDGE, FIRST_CANDIDATE_PORT, RUNNER
from cortex_ops.stack.schema import Build, Service, Stack

RESERVED = {EDGE, RUNNER}


def check(stack: Stack, located: Located) -> list[tuple[Key, Problem]]:
    """Every problem of the whole with the path it is about; empty when there is none."""
    found: list[tuple[Key, Problem]] = []
    for path, what, expected, key in _all(stack):
        line, column = located.position(path, key=key)
        found.append((path, Problem(line, column, dotted(path), what, expected)))
    return found


def _all(stack: Stack) -> Iterator[Finding]:
    yield from _names(stack)
    yield from _derived_names(stack)
    yield from _references(stack)
    yield from of_services(stack)
    yield from _environments(stack)
    yield from of_clusters(stack)


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


def _derived_names(stack: Stack) -> Iterator[Finding]:
    """Names that the tool makes of a service's: jobs, listeners, the proxy's aliases."""
    made: dict[str, str] = {}
    for name, service in stack.services.items():
        if service.migrations is not None:
            made[f"{name}-migrate"] = f"{name}'s migration"
        if service.route is not None:
            made |= {f"{name}-{part}": f"{name}'s part at the proxy" for part in ("a", "b", "none", "candidate")}
    for group, members in (("services", stack.services), ("stores", stack.stores)):
        for name in members:
            if name in made:
                yield (group, name), repr(name), f"another name: that is what {made[name]} is called", True
    if "control" in stack.services and stack.services["control"].route is not None:
        yield ("services", "control"), "'control'", "another name: the proxy's own listener has it", True
    for name in stack.environments:
        head, _, tail = name.rpartition("-")
        if head in stack.environments and re.fullmatch(r"stores|edge|r[0-9]+", tail):
            yield ("environments", name), repr(name), f"a name that is no part of {head}'s projects", True


def _references(stack: Stack) -> Iterator[Finding]:
    callable_ = {*stack.services, *stack.stores, *stack.host_services, "edge"}
    for name, service in stack.services.items():
        base: Key = ("services", name)
        for i, called in enumerate(service.calls):
            if called not in callable_:
                yield (*base, "calls", i), repr(called), f"one of {known(callable_)}", False
            elif called == name:
                yield (*base, "calls", i), repr(called), "another service than itself", False
        for i, library in enumerate(service.bundles):
            if library not in stack.libraries:
                yield (*base, "bundles", i), repr(library), f"one of {known(stack.libraries)}", False
        for variable, secret in service.secrets.items():
            yield from _secret(stack, (*base, "secrets", variable), secret)
        if service.migrations is not None and service.migrations.store not in stack.stores:
            yield (
                (*base, "migrations", "store"),
                repr(service.migrations.store),
                f"one of {known(stack.stores)}",
                False,
            )
    for name, store in stack.stores.items():
        yield from _secret(stack, ("stores", name, "secret"), store.secret)
        if store.kind == "postgres" and not (store.database and store.owner):
            yield ("stores", name), "a postgres store without database and owner", "both", True
    for name, source in stack.secrets.items():
        if source.from_ == "env" and not VARIABLE.fullmatch(source.variable):
            yield ("secrets", name), repr(source.variable), "the name of an environment variable in `variable`", True
    for name, service in stack.services.items():
        yield from _build_secrets(stack, ("services", name), service.build)
    if stack.tests is not None:
        yield from _build_secrets(stack, ("tests",), stack.tests.build)
        for variable, secret in stack.tests.secrets.items():
            yield from _secret(stack, ("tests", "secrets", variable), secret)
        routed = {n for n, s in stack.services.items() if s.route and not s.optional}
        for variable, value in stack.tests.env.items():
            if value.startswith("route:") and value.removeprefix("route:") not in routed:
                yield ("tests", "env", variable), repr(value), f"route: and one of {known(routed)}", False
    if stack.backup is not None:
        for i, name in enumerate(stack.backup.stores):
            if name not in stack.stores:
                yield ("backup", "stores", i), repr(name), f"one of {known(stack.stores)}", False
    loop = cycle({n: [c for c in s.calls if c in stack.services] for n, s in stack.services.items()})
    if loop:
        yield ("services", loop[0], "calls"), f"a cycle of calls: {' → '.join(loop)}", "no cycle", False


def _secret(stack: Stack, path: Key, name: str) -> Iterator[Finding]:
    if name not in stack.secrets:
        yield path, repr(name), f"one of the secrets {known(stack.secrets)}", False


def _build_secrets(stack: Stack, base: Key, build: Build) -> Iterator[Finding]:
    for key, name in build.secrets.items():
        path = (*base, "build", "secrets", key)
        if not is_label(key):
            yield path, repr(key), "a lower-case id of letters, digits and hyphens", True
        yield from _secret(stack, path, name)
        if name in stack.secrets and stack.secrets[name].from_ != "env":
            expected = "one `from: env`: images are built once for all of them"
            yield path, f"{name}, a file of each environment", expected, False


def _environments(stack: Stack) -> Iterator[Finding]:
    if not stack.environments:
        yield ("environments",), "no environment", "at least one", False
    for name, spec in stack.environments.items():
        base: Key = ("environments", name)
        for service in spec.overrides:
            if service not in stack.services:
                yield (*base, "overrides", service), repr(service), f"one of {known(stack.services)}", True
            elif (spec.overrides[service].replicas or 1) > 1 and not all(
                v.shared for v in stack.services[service].volumes
            ):
                what = "several replicas of a service with a volume for one writer"
                yield (*base, "overrides", service, "replicas"), what, "`shared: true` there, or one replica", False
        for service in spec.ports:
            if service not in stack.services or stack.services[service].route is None:
                routed = [n for n, s in stack.services.items() if s.route]
                yield (*base, "ports", service), repr(service), f"one of the routed {known(routed)}", True
        if spec.from_ and (spec.from_ not in stack.environments or spec.from_ == name):
            others = [n for n in stack.environments if n != name]
            yield (*base, "from"), repr(spec.from_), f"one of {known(others)}", False
        if spec.from_ in stack.environments and stack.environments[spec.from_].mode == "development":
            yield (*base, "from"), repr(spec.from_), "an environment that releases go to", False
        if spec.protected and not spec.from_:
            yield base, "a protected environment without `from`", "the environment whose tested images it takes", True
        if not _is_address(spec.bind):
            yield (*base, "bind"), repr(spec.bind), "an address, such as 127.0.0.1", False
        files = sorted(n for n in _used_secrets(stack) if stack.secrets[n].from_ == "file")
        if files and spec.mode == "production" and not spec.secrets_folder:
            what = f"no folder for the secrets that are files ({', '.join(files)})"
            yield base, what, "`secrets_folder`, where each has a file", True
        yield from _ports(stack, name)
    loop = cycle({n: [s.from_] for n, s in stack.environments.items() if s.from_})
    if loop:
        yield ("environments", loop[0], "from"), f"a circle: {' → '.join(loop)}", "one of them that builds", False
    yield from _listeners(stack)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _used_secrets(stack: Stack) -> set[str]:
    deployed = (service for service in stack.services.values() if not service.optional)
    used = {secret for service in deployed for secret in service.secrets.values()}
    used |= {store.secret for store in stack.stores.values()}
    used |= set(stack.tests.secrets.values()) if stack.tests is not None else set()
    return used & set(stack.secrets)


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
    routed = sum(model.route is not None for model in stack.services.values())
    taken = {str(FIRST_CANDIDATE_PORT + number): "a candidate's listener" for number in range(routed)}
    taken[str(CONTROL_PORT)] = "the proxy's own control listener"
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


def replicas_of(service: Service) -> int:
    """How many run where nothing scales by itself."""
    return service.scale.min if service.scale is not None else service.replicas
