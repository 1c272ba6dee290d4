"""Pods that try to reach each other, to see which flows a cluster's policies let through.

Each listens on its own ports and tries all targets again and again; what came of a round is one line of its log, so
that only logs have to be read: no pod has to be reached for its answer.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cluster import cluster, kubectl
from tests.support.engine import docker

Object = dict[str, Any]
SCRIPT = """\
import net from 'node:net'
import { readFileSync } from 'node:fs'
const answer = socket => socket.on('error', () => {}).end('ok')
for (const port of JSON.parse(process.env.PORTS)) net.createServer(answer).listen(port)
const attempt = (host, port) => new Promise(resolve => {
  const socket = net.connect({ host, port: Number(port), timeout: 700 })
  const end = said => { socket.destroy(); resolve(said) }
  socket.on('connect', () => end(true)).on('timeout', () => end(false)).on('error', () => end(false))
})
for (;;) {
  let plan = { targets: [] }
  try { plan = JSON.parse(readFileSync('/plan/plan.json', 'utf8')) } catch { }
  const began = Date.now()
  const found = await Promise.all(plan.targets.map(async one => [one, await attempt(...one.split(' '))]))
  const open = found.filter(([, said]) => said).map(([one]) => one)
  console.log(JSON.stringify({ began, tried: found.length, open }))
  await new Promise(resolve => setTimeout(resolve, 1000))
}
"""
UID = 1000


@dataclass(frozen=True)
class Prober:
    """`labels` are what policies know it by; `ports` it listens on."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    ports: tuple[int, ...] = ()


def build(folder: Path, address: str) -> str:
    """The image, pushed; → its reference."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "probe.mjs").write_text(textwrap.dedent(SCRIPT))
    (folder / "Dockerfile").write_text("FROM node:24-bookworm-slim\nCOPY probe.mjs /\nUSER 1000\n")
    name = f"{address}-prober:1"
    docker("build", "-q", "-t", name, str(folder), deadline=300)
    try:
        docker("push", "-q", name, deadline=300)
    finally:
        docker("image", "rm", name, check=False)
    return name


def pod(prober: Prober, image: str) -> Object:
    """Of the restricted standard, so that any namespace takes it."""
    container: Object = {
        "name": "prober",
        "image": image,
        "command": ["node", "--max-old-space-size=24", "/probe.mjs"],
        "env": [{"name": "PORTS", "value": json.dumps(list(prober.ports))}],
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "plan", "mountPath": "/plan"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": prober.name, "namespace": prober.namespace, "labels": dict(prober.labels)},
        "spec": {
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": UID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": "plan", "configMap": {"name": "plan", "optional": True}}],
        },
    }


def announce(probers: Sequence[Prober], targets: Iterable[str]) -> None:
    """All of them try these (`address port`) from now on. A change of the pod makes the kubelet look at its volumes
    at once, which it else does within about a minute."""
    text = json.dumps({"targets": sorted(targets)})
    for space in sorted({one.namespace for one in probers}):
        metadata = {"name": "plan", "namespace": space}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"plan.json": text}}
        kubectl("apply", "-f", "-", stdin=json.dumps(document))
        names = [one.name for one in probers if one.namespace == space]
        kubectl("-n", space, "annotate", "--overwrite", "pod", *names, f"plan={hash(text) & 0xFFFFFFFF}")


def addresses(probers: Iterable[Prober]) -> dict[str, str]:
    """Prober → its pod's address, once all run."""
    out = {}
    for one in probers:
        found = json.loads(kubectl("-n", one.namespace, "get", "pod", one.name, "-o", "json"))
        out[one.name] = found["status"].get("podIP", "")
    return out


def rounds(prober: Prober, since_ms: float) -> list[set[str]]:
    """Which targets were open, for each whole round that began after `since_ms` (of the Unix clock)."""
    text = cluster().log(prober.namespace, prober.name, "prober", tail=40)
    out = []
    for line in text.splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("tried") and said["began"] > since_ms:
            out.append(set(said["open"]))
    return out
