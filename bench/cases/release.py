"""Releases of the sample: nothing changed, and everything rebuilt and started from nothing, beside the raw tools."""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.harness import Case
from cortex_ops import pipeline
from cortex_ops.images import bases
from cortex_ops.images.build import PROXY
from cortex_ops.images.plan import buildables
from cortex_ops.kernel.values import Placed
from cortex_ops.release.migrations import Migrations
from cortex_ops.source.dockerfile import scan
from cortex_ops.targets.compose.target import ComposeTarget
from cortex_ops.targets.compose.teardown import remove_environment
from tests.support.engine import docker, docker_env, record
from tests.support.sample import sample_project
from tests.support.tiny import Tiny

ENV = "local"
RAW = "cortex-ops-bench"


class Sample:
    """The sample in a project of its own, released once, so that every cache that a machine in use has is warm."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()

    @functools.cached_property
    def project(self) -> Tiny:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="cortex-bench-"))
        project = self.stack.enter_context(sample_project(Path(folder)))
        assert project.release().ok
        return project

    @functools.cached_property
    def placed(self) -> Placed:
        live = self.project.wire().history(ENV).live()
        assert live is not None
        placed = self.project.wire().history(ENV).placed(live.seq)
        assert placed is not None
        return placed

    # -- what is compared -------------------------------------------------------------------------------------
    def job(self) -> None:
        done = self.project.job("release")
        assert done.returncode == 0, done.stderr[-2000:]

    def empty_job(self) -> None:
        argv = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute", "-m", "bench.empty_job", "-j"]
        root = Path(__file__).resolve().parents[2]
        env = {**self.project.environ(), "PYTHONPATH": str(root)}
        subprocess.run([*argv, "empty"], env=env, cwd=self.project.root, check=True, capture_output=True)

    def build_and_roll_out(self) -> None:
        w = self.project.wire()
        pipeline.build(w, ENV)
        pipeline.rollout(w, ENV)

    def raw(self) -> None:
        """The commands of the rendered README, typed by a script: bake, stores, proxy, migration, services."""
        folder = self._raw_folder
        self._docker("buildx", "bake", "--progress", "plain", "-f", str(folder / "bake.json"), *self._allowed)
        self._up("stores")
        self._up("edge")
        self._run_job("cortex-os-migrate")
        self._up("release")

    def raw_job(self) -> None:
        """And what a release adds: the candidate is tested through the proxy, then gets the traffic."""
        self.raw()
        self._switch("none", "none", "a")
        self._run_job("integration-tests")
        self._switch("a", f"r{self.placed.placement.seq}", "none")
        self.empty_job()

    def _switch(self, *state: str) -> None:
        self._docker(*self._project("edge"), "exec", "-T", "edge", "switch", "set", *state)

    # -- between the runs -------------------------------------------------------------------------------------
    def start_from_nothing(self) -> None:
        """No container, network or volume; and another content for a library that every service bundles."""
        w = self.project.wire()
        placed = self.placed
        remove_environment(w.engine, w.prefix(ENV), data=True)
        library = self.project.monorepo / "packages" / "kernel" / "turn.mjs"
        library.write_text(f"export const turn = '{secrets.token_hex(8)}'\n")
        self._deliver(placed)

    def _deliver(self, placed: Placed) -> None:
        """Secret volumes and empty data folders exist before either side starts; the raw tools cannot make them."""
        w = self.project.wire()
        target = w.target(ENV)
        assert isinstance(target, ComposeTarget)
        _, volumes = pipeline.Renderer(w, ENV, pipeline.Inputs.model_construct(**self._inputs)).secrets()
        target.deliver_secrets(placed, volumes)

    @functools.cached_property
    def _inputs(self) -> dict[str, Any]:
        live = self.project.wire().history(ENV).live()
        assert live is not None
        return {"lock": live.intent.lock, "stack_hash": "", "migrations": Migrations(), "promoted_from": ""}

    @functools.cached_property
    def _raw_folder(self) -> Path:
        """The same Dockerfiles as a bake file with plain tags, and the rendered files with these tags in them."""
        w = self.project.wire()
        folder = self.project.root / "raw"
        images = buildables(w.stack, w.monorepo, PROXY)
        pinned = bases.contexts(w.settings, bases.known_digests(w.settings))
        targets: dict[str, Any] = {}
        for image in images:
            named = [base for base, _ in scan((image.context / image.dockerfile).read_text()).bases]
            common = {
                "context": str(image.context),
                "dockerfile": image.dockerfile,
                "contexts": {base: pinned[base] for base in named if base in pinned},
                "attest": ["type=provenance,disabled=true"],
            }
            targets[image.name] = {**common, "tags": [f"{RAW}/{image.name}:raw"], "output": ["type=docker"]}
            if image.test_stage:
                targets[f"{image.name}-tests"] = {**common, "target": image.test_stage, "output": ["type=cacheonly"]}
        document = {"group": {"default": {"targets": sorted(targets)}}, "target": targets}
        folder.mkdir()
        (folder / "bake.json").write_text(json.dumps(document))
        for name, text in self.placed.bundle.files.items():
            for image in images:
                reference = self.placed.lock.images[image.name].reference()
                text = text.replace(reference, f"{RAW}/{image.name}:raw")
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    @functools.cached_property
    def _allowed(self) -> list[str]:
        document = json.loads((self._raw_folder / "bake.json").read_text())
        return [f"--allow=fs.read={p}" for p in {t["context"] for t in document["target"].values()}]

    def _project(self, part: str) -> list[str]:
        w = self.project.wire()
        name = f"{w.prefix(ENV)}-{f'r{self.placed.placement.seq}' if part == 'release' else part}"
        return ["compose", "-p", name, "-f", str(self._raw_folder / part / "compose.yaml")]

    def _up(self, part: str) -> None:
        self._docker(*self._project(part), "up", "--detach", "--wait", "--no-build", "--wait-timeout", "180")

    def _run_job(self, job: str) -> None:
        service = f"{job}-r{self.placed.placement.seq}"
        self._docker(*self._project("release"), "run", "--quiet", "--rm", "--no-deps", "-T", service)

    def _docker(self, *args: str) -> None:
        subprocess.run([record()["docker"], *args], env=docker_env(), check=True, capture_output=True, timeout=600)

    def close(self) -> None:
        self.stack.close()
        made = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{RAW}/*").split()
        if made:
            docker("image", "rm", *made, check=False)


SAMPLE = Sample()
close = SAMPLE.close


def cases() -> list[Case]:
    raw = "docker buildx bake; docker compose up --wait (stores, proxy, services); docker compose run (migration)"
    return [
        Case(
            "release, nothing changed",
            "extra",
            1.0,
            SAMPLE.job,
            SAMPLE.empty_job,
            "dagster job execute of one empty asset",
            prepare=lambda: SAMPLE.job(),
        ),
        Case(
            "cold release: build and rollout",
            "ratio",
            1.10,
            SAMPLE.build_and_roll_out,
            SAMPLE.raw,
            raw,
            pairs=6,
            before=SAMPLE.start_from_nothing,
        ),
        Case(
            "cold release: the whole job",
            "extra",
            1.0,
            SAMPLE.job,
            SAMPLE.raw_job,
            f"{raw}; docker compose exec (switch), run (tests); dagster job execute of one empty asset",
            pairs=6,
            before=SAMPLE.start_from_nothing,
        ),
    ]
