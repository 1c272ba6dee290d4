"""Pods that try to reach each other, to see which flows a cluster's policies let through.

Each listens on its own ports and tries all targets again and again; what came of a round is one line of its log, so
that only logs have to be read: no pod has to be reached for its answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import scripted
from tests.support.cluster import cluster, kubectl

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


@dataclass(frozen=True)
class Prober:
    """`labels` are what policies know it by; `ports` it listens on."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    ports: tuple[int, ...] = ()


def build(folder: Path, address: str) -> str:
    """The image, pushed; → its reference."""
    return scripted.build(folder, address, "prober", SCRIPT)


def pod(prober: Prober, image: str) -> Object:
    """With the plan, once there is one."""
    made = scripted.pod(prober.name, prober.namespace, prober.labels, image, {"PORTS": json.dumps(prober.ports)})
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "plan", "mountPath": "/plan"}]
    made["spec"]["volumes"] = [{"name": "plan", "configMap": {"name": "plan", "optional": True}}]
    return made


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
    text = cluster().log(prober.namespace, prober.name, prober.name, tail=40)
    out = []
    for line in text.splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("tried") and said["began"] > since_ms:
            out.append(set(said["open"]))
    return out
