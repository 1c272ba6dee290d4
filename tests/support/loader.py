"""A pod that asks a service all the while, without a retry, and says in its log what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support import scripted
from tests.support.cluster import cluster, kubectl, until

SCRIPT = """\
import http from 'node:http'
const url = new URL(process.env.URL)
const LATE = 900 // a packet that is lost is sent again after a second, a lookup after five
const kept = new http.Agent({ keepAlive: true, maxSockets: 1 })
const seen = { sent: 0, failed: 0, failures: [], late: 0, answers: {} }
const ask = (agent, method, path) => new Promise(resolve => {
  const began = Date.now()
  let stage = 'waiting for a socket'
  const end = cause => {
    const took = Date.now() - began
    seen.sent += 1
    if (cause) {
      seen.failed += 1
      seen.failures.push({ cause, stage, method, path, began: new Date(began), took })
      seen.failures.splice(10)
    } else if (took > LATE && path !== '/slow') seen.late += 1
    resolve()
  }
  const broken = error => end(error.code ?? String(error))
  // One lookup at a time: of two from one socket the kernel may drop one, and the name is then said not to be known.
  const options = { host: url.hostname, port: url.port, family: 4, agent, method, path, timeout: 15000 }
  const request = http.request(options, answer => {
    stage = 'reading'
    let text = ''
    answer.on('data', chunk => { text += chunk }).on('error', broken).on('end', () => {
      if (answer.statusCode === 200) seen.answers[text] = (seen.answers[text] ?? 0) + 1
      end(answer.statusCode === 200 ? '' : `status ${answer.statusCode}`)
    })
  })
  request.on('socket', socket => {
    stage = 'asking'
    if (!socket.connecting) return
    stage = 'looking up'
    socket.once('lookup', error => { if (!error) stage = 'connecting' })
    socket.once('connect', () => { stage = 'asking' })
  })
  request.on('error', broken).on('timeout', () => request.destroy(new Error('timeout')))
  request.end(method === 'POST' ? 'x'.repeat(2000) : undefined)
})
const loop = async (agent, method, path, pause) => {
  for (;;) { await ask(agent(), method, path); await new Promise(resolve => setTimeout(resolve, pause)) }
}
const fresh = () => new http.Agent({ keepAlive: false })
for (let number = 0; number < 3; number += 1) loop(() => kept, 'GET', '/', 2)
for (let number = 0; number < 3; number += 1) loop(fresh, 'GET', '/', 5)
loop(fresh, 'POST', '/', 10)
loop(() => kept, 'POST', '/', 10)
loop(fresh, 'GET', '/slow', 100)
setInterval(() => console.log(JSON.stringify(seen)), 500)
"""


def build(folder: Path, address: str) -> str:
    """The image, pushed; → its reference."""
    return scripted.build(folder, address, "loader", SCRIPT)


class Loader:
    """In `namespace`, with the labels of the tests, which the policies let through to routed services."""

    def __init__(self, namespace: str, part_of: str, image: str, url: str) -> None:
        self.namespace = namespace
        labels = {"app.kubernetes.io/name": "integration-tests", "app.kubernetes.io/part-of": part_of}
        pod = scripted.pod("loader", namespace, labels, image, {"URL": url})
        kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        until("the first answers", lambda: self.seen().get("sent", 0) > 50, 60)

    def seen(self) -> dict[str, Any]:
        """How many were `sent`, `failed` and `late` so far, the first `failures`, and how often each answer came."""
        text = cluster().log(self.namespace, "loader", "loader", tail=1).strip()
        found: dict[str, Any] = json.loads(text) if text.startswith("{") else {}
        return found

    def remove(self) -> None:
        kubectl("-n", self.namespace, "delete", "pod", "loader", "--ignore-not-found", "--wait=false")
