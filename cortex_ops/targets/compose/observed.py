"""What the engine reports of our containers, in the terms of `expected`."""

from __future__ import annotations

from typing import Any

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.redact import redact
from cortex_ops.kernel.values import Value
from cortex_ops.targets.compose.expected import Fields

LABEL = "org.cortex-ops."


class Seen(Value):
    """One container as it is."""

    id: str
    name: str
    project: str
    service: str
    labels: dict[str, str]
    image_id: str
    status: str  # created, running, paused, restarting, exited, dead
    health: str  # "", starting, healthy, unhealthy
    restarts: int
    exit_code: int
    error: str
    oom: bool
    moment: str  # changes with every start and end
    probe: str  # the last health check's output
    fields: Fields

    def ready(self) -> bool:
        return self.status == "running" and self.health in ("", "healthy")


def look(engine: Engine, prefix: str, **labels: str) -> list[Seen]:
    """All containers of one environment (running or not), optionally only those with these labels."""
    wanted = [f"{LABEL}project={prefix}", *(f"{LABEL}{k}={v}" for k, v in labels.items())]
    return _look(engine, wanted)


def look_at_project(engine: Engine, project: str) -> list[Seen]:
    """All containers of one compose project, whoever made them."""
    return _look(engine, [f"com.docker.compose.project={project}"])


def _look(engine: Engine, labels: list[str]) -> list[Seen]:
    from docker.errors import NotFound

    api = engine.client.api
    found = []
    for row in engine.guard(api.containers, all=True, filters={"label": labels}):
        try:
            found.append(seen_from(engine.guard(api.inspect_container, row["Id"])))
        except NotFound:  # it went while we looked
            continue
    return sorted(found, key=lambda seen: seen.name)


def has_image(engine: Engine, reference: str) -> bool:
    """Asked of the engine each time; what an image says of itself is remembered for `image_env`."""
    from docker.errors import NotFound

    try:
        document = engine.guard(engine.client.api.inspect_image, reference)
    except NotFound:
        return False
    engine.image_env[document["Id"]] = _env((document.get("Config") or {}).get("Env"))
    return True


def image_env(engine: Engine, image_id: str) -> dict[str, str]:
    """The environment that an image itself sets; an id is its content, so one answer is enough."""
    if image_id not in engine.image_env and not has_image(engine, image_id):
        return {}
    return engine.image_env[image_id]


def _env(items: list[str] | None) -> dict[str, str]:
    return dict(item.partition("=")[::2] for item in items or [])


def seen_from(c: dict[str, Any]) -> Seen:
    """`c` is the answer of the engine to `GET /containers/ID/json`."""
    state, config = c["State"], c["Config"]
    labels = config.get("Labels") or {}
    health = state.get("Health") or {}
    probes = health.get("Log") or []
    return Seen(
        id=c["Id"],
        name=c["Name"].lstrip("/"),
        project=labels.get("com.docker.compose.project", ""),
        service=labels.get("com.docker.compose.service", ""),
        labels=labels,
        image_id=c["Image"],
        status=state["Status"],
        health=_health(state, (config.get("Healthcheck") or {}).get("Retries") or 3),
        restarts=c.get("RestartCount", 0),
        exit_code=state.get("ExitCode", 0),
        error=state.get("Error", ""),
        oom=bool(state.get("OOMKilled")),
        moment=f"{state.get('StartedAt')} {state.get('FinishedAt')} {c.get('RestartCount')}",
        probe=str(probes[-1].get("Output", "")).strip()[-300:] if probes else "",
        fields=_fields(c),
    )


def _health(state: dict[str, Any], retries: int) -> str:
    """The engine calls a container unhealthy whenever its health monitor stops, so also between two starts of one
    that crashes. Here only a running container is unhealthy, and only after as many failed checks as it may have."""
    health = state.get("Health") or {}
    status = health.get("Status", "none")
    if status == "none" or not state.get("Running") or state.get("Restarting"):
        return ""
    return "starting" if status == "unhealthy" and health.get("FailingStreak", 0) < retries else status


def _fields(c: dict[str, Any]) -> Fields:
    host, config = c["HostConfig"], c["Config"]
    check = config.get("Healthcheck") or {}
    times = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod"}
    health = [*(check.get("Test") or []), *(f"{k}={check[v]}" for k, v in times.items() if check.get(v))]
    if check.get("Retries"):
        health.append(f"retries={check['Retries']}")
    mounts = [
        f"{m['Type']}:{m.get('Name') or m.get('Source', '')}:{m['Destination']}:{'rw' if m.get('RW') else 'ro'}"
        for m in c.get("Mounts") or []
        if m["Type"] != "tmpfs"
    ]
    ports = [
        f"{b.get('HostIp', '')}:{b['HostPort']}->{port}"
        for port, bindings in (host.get("PortBindings") or {}).items()
        for b in bindings or []
    ]
    networks = (c.get("NetworkSettings") or {}).get("Networks") or {}
    return Fields(
        image=config.get("Image", ""),
        env=_env(config.get("Env")),
        command=tuple(config.get("Cmd") or ()),
        user=config.get("User", ""),
        read_only=bool(host.get("ReadonlyRootfs")),
        cap_drop=tuple(sorted(host.get("CapDrop") or [])),
        security=tuple(sorted(str(o).replace(":", "=", 1) for o in host.get("SecurityOpt") or [])),
        tmpfs=tuple(sorted(host.get("Tmpfs") or {})),
        memory=host.get("Memory") or 0,
        nano_cpus=host.get("NanoCpus") or 0,
        pids=host.get("PidsLimit") or 0,
        mounts=tuple(sorted(mounts)),
        networks={n: tuple(sorted(v.get("Aliases") or ())) for n, v in networks.items()},
        ports=tuple(sorted(ports)),
        health=tuple(health),
        restart=(host.get("RestartPolicy") or {}).get("Name") or "no",
        extra_hosts=tuple(sorted(host.get("ExtraHosts") or [])),
        stop_seconds=config.get("StopTimeout") or 0,
    )


def last_lines(engine: Engine, container: str, lines: int) -> list[str]:
    """Of its log, redacted; none when the engine has no log of it any more."""
    from docker.errors import DockerException

    try:
        raw = engine.client.api.logs(container, tail=lines)
    except DockerException:
        return []
    return [line for line in redact(raw.decode(errors="replace")).splitlines() if line.strip()]
