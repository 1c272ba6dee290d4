"""A tiny system for tests of releases: one service, its tests, optionally a Postgres; real engine, real builds.

Small on purpose: an image builds in a second or two from the Node base, so that dozens of releases fit into a
test run. Everything carries a random prefix and is removed at the end.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cortex_ops import pipeline
from cortex_ops.images.build import BuildResult, build
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.settings import Settings, load_settings
from cortex_ops.results import ReleaseStep
from cortex_ops.targets.compose.teardown import remove_environment
from cortex_ops.wiring import Wiring, wire
from tests.support import layers
from tests.support.engine import ROOT, docker, record, remove_images

SERVER = """\
import http from 'node:http'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
const text = readFileSync('/app/answer.txt', 'utf8').trim()
const mode = readFileSync('/app/mode.txt', 'utf8').trim()
if (mode === 'crash') { console.error('cannot find the flux capacitor'); process.exit(3) }
if (mode === 'busy') setInterval(() => { const end = Date.now() + 20; while (Date.now() < end); }, 100)
let ending = false
const server = http.createServer((request, response) => {
  if (request.url === '/ready' && mode === 'never-ready') { response.writeHead(503); return response.end('not yet') }
  if (request.url.startsWith('/slow')) return setTimeout(() => response.end(text), 2000)
  const digest = value => createHash('sha256').update(value ?? '').digest('hex')
  if (request.url.startsWith('/digest/')) return response.end(digest(process.env[request.url.slice(8)]))
  response.setHeader('x-release', process.env.CORTEX_RELEASE)
  if (ending) response.setHeader('connection', 'close')
  request.resume().on('end', () => response.end(text))
})
server.keepAliveTimeout = 70000
server.listen(Number(process.env.PORT))
// Who keeps a connection is told to leave it first: closing one on which a request is under way would lose that.
process.on('SIGTERM', () => {
  ending = true
  setTimeout(() => { server.close(() => process.exit(0)); server.closeIdleConnections() }, 1000)
})
"""

PROBE = """\
fetch('http://127.0.0.1:' + process.env.PORT + '/ready').then(a => process.exit(a.ok ? 0 : 1), () => process.exit(1))
"""

TESTS = """\
import { readFileSync } from 'node:fs'
const want = readFileSync('/app/expected.txt', 'utf8').trim()
// A new pod's traffic may be held up until every node knows which pod it is, and a new name be unknown for a moment.
const ask = async tries => {
  try { return await (await fetch(process.env.API_URL + '/', { signal: AbortSignal.timeout(3000) })).text() }
  catch (error) {
    if (tries === 1) throw error
    await new Promise(done => setTimeout(done, 500))
    return ask(tries - 1)
  }
}
const have = await ask(5)
const good = want === 'anything' || want === have
console.log('asked', process.env.API_URL)
const failure = good ? '' : `<failure message="expected ${want}, got ${have}"/>`
console.log('-----BEGIN JUNIT-----')
console.log(`<testsuites><testcase name="the api answers" time="0.1">${failure}</testcase></testsuites>`)
console.log('-----END JUNIT-----')
process.exit(good ? 0 : 1)
"""

MIGRATE = """\
echo migrating
"""


def free_port() -> int:
    """A loopback port that stays free: outside the range that the kernel gives to outgoing connections."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@dataclass
class Tiny:
    """A project folder of its own. Edit files, then `release()`."""

    root: Path
    name: str
    port: int
    settings_env: dict[str, str] = field(default_factory=dict)  # CORTEX_OPS_* of this project

    @property
    def monorepo(self) -> Path:
        return self.root / "mono"

    @property
    def prefix(self) -> str:
        return f"{self.name}-local"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def write(self, name: str, text: str) -> None:
        path = self.monorepo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def answer(self, text: str, *, mode: str = "ok", expected: str = "anything") -> None:
        """What the next release will say, how it behaves, and what its tests want to hear."""
        self.write("api/answer.txt", text)
        self.write("api/mode.txt", mode)
        self.write("tests/expected.txt", expected)

    def stack(self, change: dict[str, Any] | None = None) -> dict[str, Any]:
        path = self.root / "deploy" / "stack.yaml"
        document: dict[str, Any] = yaml.safe_load(path.read_text())
        if change:
            _merge(document, change)
            path.write_text(json.dumps(document, ensure_ascii=False))
        return document

    def environ(self, **extra: str) -> dict[str, str]:
        env = {k: v for k, v in os.environ.items() if not k.startswith("CORTEX_OPS_")}
        home = self.root / ".dagster"
        return {**env, "CORTEX_OPS_PROJECT": str(self.root), "DAGSTER_HOME": str(home), **self.settings_env, **extra}

    def settings(self) -> Settings:
        return load_settings(self.environ())

    def wire(self, run_id: str = "") -> Wiring:
        self.lines: list[str] = []
        return wire(self.settings(), run_id=run_id or secrets.token_hex(6), progress=Progress(sink=self.lines.append))

    def release(self, env: str = "local", **options: Any) -> ReleaseStep:
        """The main job's steps in this process, as Dagster would call them."""
        return self.deploy(self.prepared(env, **options), env)

    def prepared(self, env: str = "local", **options: Any) -> Wiring:
        """All of it that comes before anything is changed."""
        w = self.wire()
        pipeline.source(w)
        pipeline.build(w, env, options.get("from_ref", ""))
        pipeline.render(w, env)
        return w

    def deploy(self, w: Wiring, env: str = "local") -> ReleaseStep:
        """All the rest."""
        pipeline.rollout(w, env)
        pipeline.integration_tests(w, env)
        return pipeline.release(w, env)

    def job(
        self,
        name: str,
        env: str = "local",
        *,
        deadline: float = 240,
        variables: dict[str, str] | None = None,
        **tags: str,
    ) -> subprocess.CompletedProcess[str]:
        """The same by the command that CI types, with these environment variables more."""
        return subprocess.run(
            self.job_argv(name, env, **tags),
            cwd=self.root,
            env=self.environ(**(variables or {})),
            capture_output=True,
            text=True,
            timeout=deadline,
            check=False,
        )

    def job_argv(self, name: str, env: str = "local", **tags: str) -> list[str]:
        all_tags = {"dagster/partition": env, **{k.replace("_", "/", 1): v for k, v in tags.items()}}
        program = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute"]
        return [*program, "-m", "cortex_ops.definitions", "-j", name, "--tags", json.dumps(all_tags)]

    def get(self, path: str = "/", timeout: float = 5) -> str:
        with urllib.request.urlopen(self.url + path, timeout=timeout) as answer:
            return str(answer.read().decode())

    def containers(self, **labels: str) -> list[str]:
        filters = [f"label=org.cortex-ops.project={self.prefix}"]
        filters += [f"label=org.cortex-ops.{k}={v}" for k, v in labels.items()]
        flags = [part for f in filters for part in ("--filter", f)]
        return docker("ps", "-a", *flags, "--format", "{{.Names}}").split()

    # -- what is on the target ---------------------------------------------------------------------------------
    def standing(self) -> set[str]:
        """Networks that outlive releases."""
        return {name for name in self._networks() if not self._release_of(name)}

    def helpers(self, run_ids: list[str]) -> list[str]:
        """What belongs to these runs and should be gone, and the lease when somebody still holds it."""
        names = [name for name in self.containers() if "lease" in name]
        for run in run_ids:
            label = f"label=org.cortex-ops.run={run}"
            names += docker("ps", "-a", "--filter", label, "--format", "{{.Names}}").split()
        return sorted(set(names))

    def strays(self, serves: str, standing: set[str]) -> list[str]:
        """What is there beside the proxy, the live release `serves` and at most the one before it."""
        names = self.containers()
        releases = [release for name in names if (release := self._release_of(name))]
        allowed = {f"{self.prefix}-edge-edge-1", *(name for name in names if self._release_of(name))}
        out = [f"container {name} is left" for name in names if name not in allowed]
        if serves not in releases or len(releases) > 2 or len(set(releases)) != len(releases):
            out.append(f"{serves} is live, and there are containers of {', '.join(sorted(releases))}")
        for name in self._networks():
            if name not in standing and self._release_of(name) not in releases:
                out.append(f"network {name} is left")
        return out

    def _networks(self) -> list[str]:
        return docker("network", "ls", "--filter", f"name={self.prefix}", "--format", "{{.Name}}").split()

    def _release_of(self, name: str) -> str:
        """`r3` of the container or network of a release; empty for anything else."""
        found = re.match(rf"{self.prefix}-(r\d+)[-_]", name)
        return found[1] if found else ""

    def remove(self) -> None:
        w = self.wire()
        for env in w.stack.environments:
            remove_environment(w.engine, w.prefix(env), data=True)
        self.remove_images()
        layers.hand_on(self.root)

    def owner(self) -> str:
        """What its names of images end with; empty before its first build."""
        mark = self.root / ".cortex" / "store" / "images" / "owner"
        return mark.read_text() if mark.is_file() else ""

    def remove_images(self) -> None:
        """This project's own names for images that it built; the images of other projects stay."""
        remove_images_of(self)


def remove_images_of(*projects: Tiny) -> None:
    """Their own names for images that they built."""
    owners = tuple(f"-{owner}" for project in projects if (owner := project.owner()))
    if owners:
        remove_images(lambda name: name.startswith("cortex-ops/") and name.endswith(owners))


def _merge(base: dict[str, Any], change: dict[str, Any]) -> None:
    for key, value in change.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


CREATED: list[Tiny] = []  # their images go when the tests of a file have ended


def create(root: Path, *, postgres: bool = False) -> Tiny:
    """Write the project below `root`."""
    port = free_port()
    tiny = Tiny(root, f"t{secrets.token_hex(4)}", port)
    CREATED.append(tiny)
    tiny.write("api/server.mjs", SERVER)
    tiny.write("api/probe.mjs", PROBE)
    tiny.write(
        "api/Dockerfile",
        "FROM node:24-bookworm-slim\nWORKDIR /app\nCOPY api/ ./\nUSER 1000:1000\n"
        'ENV NODE_ENV=production\nCMD ["node", "server.mjs"]\n',
    )
    tiny.write("tests/run.mjs", TESTS)
    tiny.write(
        "tests/Dockerfile",
        'FROM node:24-bookworm-slim\nWORKDIR /app\nCOPY tests/ ./\nUSER 1000:1000\nCMD ["node", "run.mjs"]\n',
    )
    tiny.answer("one")
    service: dict[str, Any] = {
        "path": "api",
        "build": {"dockerfile": "api/Dockerfile"},
        "port": "8080",
        "probes": {"ready": "/ready", "command": ["node", "/app/probe.mjs"]},
        "route": {"port": "8080"},
        "writable": ["/tmp"],
    }
    document: dict[str, Any] = {
        "version": "1",
        "name": tiny.name,
        "source": {"path": "../mono"},
        "services": {"api": service},
        "tests": {
            "path": "tests",
            "build": {"dockerfile": "tests/Dockerfile"},
            "env": {"API_URL": "route:api"},
            "deadline": 30,
        },
        "environments": {"local": {"ports": {"api": str(port)}, "secrets_folder": "../secrets"}},
    }
    if postgres:
        _add_postgres(tiny, document)
    (root / "deploy").mkdir()
    (root / "deploy" / "stack.yaml").write_text(json.dumps(document))
    (root / ".dagster").mkdir()
    shutil.copyfile(ROOT / "dagster.yaml", root / ".dagster" / "dagster.yaml")
    (root / ".cortex").mkdir()
    (root / ".cortex" / "engine.json").write_text(json.dumps(record()))
    bases = ROOT / ".cortex" / "bases.json"
    if bases.is_file():
        shutil.copyfile(bases, root / ".cortex" / "bases.json")
    layers.take_over(root)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", "init", "-q", str(tiny.monorepo)], check=True)
    subprocess.run([*git, "add", "-A"], cwd=tiny.monorepo, check=True)
    subprocess.run([*git, "commit", "-qm", "one"], cwd=tiny.monorepo, check=True)
    return tiny


def scratch_project(root: Path) -> Tiny:
    """One service that is only files, for tests of builds: it needs no base image, and nothing of it runs."""
    root.mkdir(parents=True, exist_ok=True)
    tiny = create(root)
    tiny.write("api/Dockerfile", "FROM scratch\nCOPY api /\nUSER 1000\n")
    document = tiny.stack()
    del document["tests"]
    (root / "deploy" / "stack.yaml").write_text(json.dumps(document))
    return tiny


def build_images(w: Wiring) -> BuildResult:
    return build(w.stack, w.settings, w.engine, w.store, w.progress)


def commit(tiny: Tiny) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "add", "-A"], cwd=tiny.monorepo, check=True)
    subprocess.run([*git, "commit", "-qm", "change"], cwd=tiny.monorepo, check=True)


def _add_postgres(tiny: Tiny, document: dict[str, Any]) -> None:
    document["stores"] = {
        "postgres": {
            "kind": "postgres",
            "image": "postgres:15",
            "user": 999,
            "secret": "postgres-password",
            "volume": "1Gi",
            "database": "app",
            "owner": "app",
        }
    }
    document["secrets"] = {"postgres-password": {"from": "file"}}
    document["backup"] = {"schedule": "0 3 * * *", "drill_schedule": "0 5 * * 0", "stores": ["postgres"]}
    (tiny.root / "secrets").mkdir()
    (tiny.root / "secrets" / "postgres-password").write_text(f"sentinel-{secrets.token_hex(12)}\n")


@contextmanager
def tiny_project(root: Path, *, postgres: bool = False) -> Iterator[Tiny]:
    tiny = create(root, postgres=postgres)
    try:
        yield tiny
    finally:
        tiny.remove()
