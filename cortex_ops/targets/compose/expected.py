"""What a compose document says each container should be, in the terms in which the engine reports it.

Pure. The counterpart is `observed`; `compare` lists the differences of owned fields.
"""

from __future__ import annotations

import re
from typing import Any

from cortex_ops.kernel.values import Change, Value

_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_UNITS |= {"ki": 1024, "mi": 1024**2, "gi": 1024**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


class Fields(Value):
    """The owned fields of one container, normalised. Sizes in bytes, durations in nanoseconds."""

    image: str
    env: dict[str, str]
    command: tuple[str, ...] | None
    user: str
    read_only: bool
    cap_drop: tuple[str, ...]
    security: tuple[str, ...]
    tmpfs: tuple[str, ...]
    memory: int
    nano_cpus: int
    pids: int
    mounts: tuple[str, ...]
    networks: dict[str, tuple[str, ...]]
    ports: tuple[str, ...]
    health: tuple[str, ...]
    restart: str
    extra_hosts: tuple[str, ...]
    stop_seconds: int


class Expected(Value):
    """One service of a document: its fields and how many containers it should have."""

    project: str
    service: str
    replicas: int
    fields: Fields
    healthy: bool  # whether it has a health check


def expected(project: str, document: dict[str, Any]) -> list[Expected]:
    """All long-running services of a document; jobs (services behind a profile) are left out."""
    document = _plain_dollars(document)
    networks = {k: (v or {}).get("name", f"{project}_{k}") for k, v in (document.get("networks") or {}).items()}
    volumes = {k: (v or {}).get("name", f"{project}_{k}") for k, v in (document.get("volumes") or {}).items()}
    found = []
    for key, service in (document.get("services") or {}).items():
        if service.get("profiles"):
            continue
        deploy = service.get("deploy") or {}
        replicas = deploy.get("replicas", service.get("scale", 1))
        check = service.get("healthcheck")
        found.append(
            Expected(
                project=project,
                service=key,
                replicas=int(replicas),
                fields=_fields(key, service, networks, volumes),
                healthy=bool(check) and not (check or {}).get("disable"),
            )
        )
    return found


def _plain_dollars(value: Any) -> Any:
    """Undo Compose's escape of `$`."""
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {k: _plain_dollars(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain_dollars(v) for v in value]
    return value


def _fields(key: str, s: dict[str, Any], networks: dict[str, str], volumes: dict[str, str]) -> Fields:
    limits = ((s.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    environment = s.get("environment") or {}
    if isinstance(environment, list):
        environment = dict(item.split("=", 1) for item in environment)
    command = s.get("command")
    return Fields(
        image=str(s.get("image", "")),
        env={k: str(v) for k, v in environment.items() if v is not None},
        command=tuple(str(c) for c in command) if isinstance(command, list) else None,
        user=str(s.get("user") or ""),
        read_only=bool(s.get("read_only", False)),
        cap_drop=tuple(sorted(s.get("cap_drop") or [])),
        security=tuple(sorted(str(o).replace(":", "=", 1) for o in s.get("security_opt") or [])),
        tmpfs=tuple(sorted(str(t).split(":")[0] for t in _as_list(s.get("tmpfs")))),
        memory=size(s.get("mem_limit", limits.get("memory", 0))),
        nano_cpus=round(float(s.get("cpus", limits.get("cpus", 0)) or 0) * 1e9),
        pids=int(s.get("pids_limit", limits.get("pids", 0)) or 0),
        mounts=tuple(sorted(m for m in (_mount(v, volumes) for v in s.get("volumes") or []) if m)),
        networks=_networks(key, s.get("networks"), networks),
        ports=tuple(sorted(_port(p) for p in s.get("ports") or [])),
        health=_health(s.get("healthcheck")),
        restart=str(s.get("restart") or "no"),
        extra_hosts=tuple(sorted(_hosts(s.get("extra_hosts")))),
        stop_seconds=round(duration(s.get("stop_grace_period", 0))),
    )


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def size(value: Any) -> int:
    """Bytes of `256m`, `256Mi`, `268435456` …"""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)", str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is no size")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def duration(value: Any) -> float:
    """Seconds of `1m30s`, `500ms`, `15` …"""
    text = str(value)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    return sum(float(n) * _SECONDS[u] for n, u in _DURATION.findall(text))


def _mount(volume: Any, names: dict[str, str]) -> str | None:
    if isinstance(volume, str):
        source, target, *mode = volume.split(":")
        read_only = "ro" in mode
        kind = "volume" if source in names else "bind"
    else:
        kind = volume.get("type", "volume")
        source, target = str(volume.get("source", "")), str(volume["target"])
        read_only = bool(volume.get("read_only", False))
        if kind == "tmpfs":
            return None
    return f"{kind}:{names.get(source, source)}:{target}:{'ro' if read_only else 'rw'}"


def _networks(key: str, value: Any, names: dict[str, str]) -> dict[str, tuple[str, ...]]:
    if value is None:
        return {names.get("default", "default"): (key,)}
    if isinstance(value, list):
        value = dict.fromkeys(value)
    return {names[n]: tuple(sorted({key, *((v or {}).get("aliases") or [])})) for n, v in value.items()}


def _port(port: Any) -> str:
    if isinstance(port, dict):
        address = port.get("host_ip", "")
        return f"{address}:{port['published']}->{port['target']}/{port.get('protocol', 'tcp')}"
    head, _, target = str(port).rpartition(":")
    address, _, published = head.rpartition(":")
    target, _, protocol = target.partition("/")
    return f"{address}:{published}->{target}/{protocol or 'tcp'}"


def _health(check: dict[str, Any] | None) -> tuple[str, ...]:
    if not check:
        return ()
    test = check.get("test")
    test = ["CMD-SHELL", test] if isinstance(test, str) else [str(t) for t in test or []]
    times = [f"{k}={round(duration(check[k]) * 1e9)}" for k in ("interval", "timeout", "start_period") if k in check]
    return (*test, *times, *([f"retries={check['retries']}"] if "retries" in check else []))


def _hosts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{k}:{v}" for k, v in value.items()]
    return [str(v).replace("=", ":", 1) for v in value or []]


def compare(name: str, want: Fields, have: Fields, image_env: dict[str, str]) -> list[Change]:
    """Differences of owned fields; environment values are named, never shown."""
    changes = []
    for field in Fields.model_fields:
        expected_value, found = getattr(want, field), getattr(have, field)
        if field == "command" and expected_value is None:
            continue
        if field == "user" and not expected_value:
            continue
        if field == "env":
            changes += _compare_env(name, expected_value, found, image_env)
        elif field == "networks":
            changes += _compare_networks(name, expected_value, found)
        elif field == "health" and not expected_value:
            continue
        elif expected_value != found:
            changes.append(Change(object=name, field=field, expected=_plain(expected_value), found=_plain(found)))
    return changes


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _compare_env(name: str, want: dict[str, str], have: dict[str, str], image: dict[str, str]) -> list[Change]:
    out = []
    for key in sorted(want.keys() | have.keys()):
        if key not in have:
            out.append(Change(object=name, field=f"env {key}", expected="set", found="absent"))
        elif key in want:
            if want[key] != have[key]:
                out.append(Change(object=name, field=f"env {key}", expected="as rendered", found="another value"))
        elif image.get(key) != have[key]:
            out.append(Change(object=name, field=f"env {key}", expected="absent", found="set"))
    return out


def _compare_networks(name: str, want: dict[str, Any], have: dict[str, Any]) -> list[Change]:
    out = []
    if set(want) != set(have):
        out.append(Change(object=name, field="networks", expected=sorted(want), found=sorted(have)))
    for network in want.keys() & have.keys():
        missing = set(want[network]) - set(have[network])
        if missing:
            found = sorted(have[network])
            out.append(Change(object=name, field=f"aliases on {network}", expected=sorted(missing), found=found))
    return out
