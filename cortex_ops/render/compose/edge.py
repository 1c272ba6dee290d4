"""The proxy's project and its configuration: two slots per routed service, and a map that says which is live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cortex_ops.kernel.canonical import sha256
from cortex_ops.render.compose.common import LABEL, hardened, image_fields, labels, limits, mount
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.stack.naming import CONTROL_PORT, FIRST_CANDIDATE_PORT

UID = 10100
MAP = "/run/edge/live.map"


@dataclass(frozen=True)
class Routed:
    """One service behind the proxy: its listener, its candidate's listener, and where it listens itself."""

    service: str
    listener: str
    candidate: str
    port: str
    ready: str
    published: str


def routes(inputs: RenderInputs) -> list[Routed]:
    """In name order, so that candidate listeners are stable."""
    chosen = sorted((n, s) for n, s in inputs.stack.services.items() if s.route is not None and not s.optional)
    return [
        Routed(
            service=name,
            listener=service.route.port,
            candidate=str(FIRST_CANDIDATE_PORT + number),
            port=service.port,
            ready=service.probes.ready,
            published=inputs.environment.ports[name],
        )
        for number, (name, service) in enumerate(chosen)
        if service.route is not None
    ]


def edge_document(inputs: RenderInputs) -> dict[str, Any]:
    routed = routes(inputs)
    config = sha256(haproxy_config(inputs).encode())[:12]
    bind = inputs.environment.bind
    return {
        "services": {
            "edge": {
                **image_fields(inputs.image("edge")),
                "user": f"{UID}:{UID}",
                "command": ["edge", "/etc/edge/haproxy.cfg"],
                **hardened(tmpfs=["/tmp"]),
                **limits("256Mi", "1"),
                "restart": "unless-stopped",
                "stop_grace_period": "35s",
                "ports": [f"{bind}:{r.published}:{r.listener}/tcp" for r in routed],
                "networks": {"public": {}, "proxy": {"aliases": ["edge"]}, "candidate": {"aliases": ["edge"]}},
                "volumes": [mount("state", "/run/edge"), mount("config", "/etc/edge", read_only=True)],
                "healthcheck": {
                    "test": [
                        "CMD-SHELL",
                        f"printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' | socat -t 2 - TCP:127.0.0.1:{CONTROL_PORT}"
                        " | grep -q 200",
                    ],
                    "interval": "10s",
                    "timeout": "3s",
                    "retries": 3,
                    "start_period": "20s",
                    "start_interval": "300ms",
                },
                "labels": {
                    **labels(inputs, "edge", "edge"),
                    LABEL + "routes": ",".join(f"{r.service}={r.listener}" for r in routed),
                },
            }
        },
        "networks": {
            "public": {"name": inputs.network("public")},
            "proxy": {"name": inputs.network("proxy"), "internal": True},
            "candidate": {"name": inputs.network("candidate"), "internal": True},
        },
        "volumes": {
            "state": {"name": f"{inputs.prefix}-edge-state"},
            "config": {"name": f"{inputs.prefix}-edge-config-{config}", "external": True},
        },
    }


def haproxy_config(inputs: RenderInputs) -> str:
    """A switch is `set map` at run time: no reload, no lost connection. Only connection failures are retried,
    so that no request reaches an application twice."""
    lines = [_HEAD]
    for r in routes(inputs):
        replicas = max(inputs.environment.replicas[r.service], 1)
        lines += [
            f"frontend {r.service}",
            f"  bind :{r.listener}",
            f"  use_backend {r.service}-%[str(live),map({MAP},none)]",
            "",
            f"frontend {r.service}-candidate",
            f"  bind :{r.candidate}",
            f"  use_backend {r.service}-%[str(candidate),map({MAP},none)]",
            "",
            f"backend {r.service}-none",
            f'  http-request return status 503 content-type text/plain string "no release of {r.service} is live"',
            "",
        ]
        for slot in ("a", "b"):
            lines += [
                f"backend {r.service}-{slot}",
                "  balance roundrobin",
                f"  option httpchk GET {r.ready}",
                "  http-check expect status 200",
                f"  server-template s 1-{replicas + 1} {r.service}-{slot}:{r.port}",
                "",
            ]
    return "\n".join(lines)


_HEAD = f"""global
  log stdout format raw local0 notice
  stats socket /run/edge/admin.sock mode 600 level admin
  hard-stop-after 30s
  maxconn 8192

resolvers engine
  nameserver dns 127.0.0.11:53
  accepted_payload_size 8192
  resolve_retries 2
  timeout resolve 500ms
  timeout retry 500ms
  hold valid 500ms
  hold nx 500ms
  hold other 500ms
  hold obsolete 1s

defaults
  mode http
  log global
  option dontlognull
  option redispatch
  option forwardfor
  retries 3
  retry-on conn-failure
  timeout connect 2s
  timeout client 65s
  timeout server 65s
  timeout http-request 15s
  timeout http-keep-alive 65s
  timeout queue 10s
  timeout check 2s
  default-server check inter 500ms fastinter 200ms downinter 500ms fall 3 rise 1 resolvers engine init-addr none

frontend control
  bind :{CONTROL_PORT}
  acl live path /live
  acl healthz path /healthz
  http-request return status 200 content-type text/plain lf-string "%[str(release),map({MAP},none)]" if live
  http-request return status 200 content-type text/plain string "ok" if healthz
  http-request return status 404
"""
