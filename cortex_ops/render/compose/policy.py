"""What may run at all, judged on the rendered files and nothing else, so that no template can loosen it unseen."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from cortex_ops.render.yaml_output import read_yaml

PARTS = ("stores", "edge", "release")
_PINNED = re.compile(r"^(?:[^@\s]+@)?sha256:[0-9a-f]{64}$")
_CREDENTIALS = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|PRIVATE_?KEY", re.I)
_IS_A_PATH = re.compile(r"_(?:FILE|PATH|DIR)$", re.I)


def judge(files: Mapping[str, str]) -> list[str]:
    """One sentence for each thing that may not run; empty when all may. Never names a secret's value."""
    out: list[str] = []
    for part in PARTS:
        document = read_yaml(files[f"{part}/compose.yaml"])
        for name, service in (document.get("services") or {}).items():
            out += [f"{name}: {text}" for text in _service(part, service)]
        for name, network in (document.get("networks") or {}).items():
            if part != "edge" and name != "egress" and not (network.get("internal") or network.get("external")):
                out.append(f"network {name} of {part} is not internal")
    return out


def _service(part: str, service: dict[str, Any]) -> Iterator[str]:
    if not _PINNED.match(str(service.get("image", ""))):
        yield f"its image {service.get('image')!r} is not pinned by content"
    user = str(service.get("user", "")).split(":")[0]
    if not user.isdigit() or int(user) == 0:
        yield f"it runs as {user or 'whatever its image says'}, not as a numeric user that is not root"
    if not service.get("read_only"):
        yield "its root file system is writable"
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        yield "it keeps capabilities"
    options = [str(option) for option in service.get("security_opt") or []]
    if "no-new-privileges:true" not in options:
        yield "it may gain privileges"
    if any("unconfined" in option for option in options):
        yield "it runs unconfined"
    if service.get("privileged") or service.get("devices"):
        yield "it has the host's devices"
    for shared in ("network_mode", "pid", "ipc", "userns_mode"):
        if service.get(shared) == "host":
            yield f"it shares the host's {shared.removesuffix('_mode')}"
    for limit in ("mem_limit", "cpus", "pids_limit"):
        if float(service.get(limit) or 0) <= 0:
            yield f"it has no {limit}"
    for mount in service.get("volumes") or []:
        kind = mount.get("type") if isinstance(mount, dict) else "bind" if str(mount)[:1] in "./~" else "volume"
        if kind not in ("volume", "tmpfs"):
            yield f"it mounts {mount.get('source') if isinstance(mount, dict) else mount} of the host"
    if part != "edge" and service.get("ports"):
        yield "it publishes ports, which only the proxy may"
    for variable, value in (service.get("environment") or {}).items():
        named = _SECRET_NAME.search(variable) and not _IS_A_PATH.search(variable)
        if value and (named or _CREDENTIALS.search(str(value))):
            yield f"its variable {variable} holds a secret in plain; deliver it as a file"
