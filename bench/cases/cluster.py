"""Releases to a real cluster beside kubectl, and what its services answer meanwhile. Takes `make cluster`.

The raw side applies the very same files under the same field manager, so that neither inherits work of the other.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import many_on_cluster
from bench.harness import Case, Trial
from bench.systems import many_services
from cortex_ops import pipeline
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import Bundle, Placed, Placement
from cortex_ops.release.migrations import Migrations
from tests.support.beside import beside
from tests.support.cluster import (
    ClusterTiny,
    cluster,
    cluster_project,
    images,
    kubeconfig,
    kubectl,
    namespace,
    rolled_out,
)
from tests.support.loader import Loader, build

REQUESTS = 20_000
ROLLOUTS = 10
LOOK_S = 0.1
ENV = "local"


class System:
    """The tiny system with two replicas, in two contents that take turns."""

    def __init__(self) -> None:
        self.stack = contextlib.ExitStack()
        self.turn = 0

    @functools.cached_property
    def address(self) -> str:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="cortex-bench-"))
        return self.stack.enter_context(images(Path(folder)))

    @functools.cached_property
    def project(self) -> ClusterTiny:
        return self._made()

    def _made(self) -> ClusterTiny:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="cortex-bench-"))
        tiny = self.stack.enter_context(cluster_project(Path(folder), self.address))
        tiny.stack({"services": {"api": {"replicas": 2}}})
        tiny.answer("zero")
        assert tiny.release().ok
        return tiny

    @functools.cached_property
    def contents(self) -> list[tuple[Placed, Path]]:
        """Of both: the release, and a folder of its files for kubectl."""
        return contents(self.project)

    def next(self) -> tuple[Placed, Path]:
        self.turn += 1
        return self.contents[self.turn % 2]

    def ours(self) -> None:
        placed, _ = self.next()
        target = self.project.target()
        target.prepare(placed)
        target.apply(placed)

    def raw(self) -> None:
        _, folder = self.next()
        apply(folder)
        rolled_out(self.project.namespace)

    def warm(self) -> None:
        """Both contents are on the node."""
        for _ in range(2):
            self.ours()

    def job(self) -> None:
        done = self.project.job("release")
        assert done.returncode == 0, done.stderr

    def empty_job(self) -> None:
        argv = [sys.executable, "-W", "ignore", "-m", "dagster", "job", "execute", "-m", "bench.empty_job", "-j"]
        root = Path(__file__).resolve().parents[2]
        env = {**self.project.environ(), "PYTHONPATH": str(root)}
        subprocess.run([*argv, "empty"], env=env, cwd=self.project.root, check=True, capture_output=True)

    def released(self) -> None:
        self.project.answer("unchanged")
        self.job()

    # -- a whole release, in two namespaces: what one side does is no drift for the other --------------------------
    @functools.cached_property
    def other(self) -> ClusterTiny:
        return self._made()

    @functools.cached_property
    def others(self) -> list[tuple[Placed, Path]]:
        return contents(self.other)

    def another(self) -> None:
        """Both sides get the content that they do not run; all images are built and pushed."""
        self.turn += 1
        self.project.answer(TEXTS[self.turn % 2])

    def raw_job(self) -> None:
        _, folder = self.others[self.turn % 2]
        space = self.other.namespace
        apply(folder)
        rolled_out(space)
        tests = folder / "jobs" / "integration-tests.yaml"
        kubectl("delete", "--ignore-not-found", "-f", str(tests))
        apply(tests)
        kubectl("wait", "--for=condition=complete", "--timeout=120s", "-f", str(tests))
        self.empty_job()

    def both_released(self) -> None:
        for _ in range(2):
            self.another()
            self.job()
            self.raw_job()


TEXTS = ("one", "two")


def contents(tiny: ClusterTiny) -> list[tuple[Placed, Path]]:
    """Of both texts: the release, and a folder of its files for kubectl, as `raw` in its project."""
    found = []
    for number, text in enumerate(TEXTS):
        tiny.answer(text)
        lock = pipeline.build(tiny.wire(), ENV).lock
        inputs = pipeline.Inputs(lock=lock, stack_hash="", migrations=Migrations())
        renderer = pipeline.Renderer(tiny.wire(), ENV, inputs)
        placed = renderer.place(Placement(seq=number + 1, slot="a"), renderer.secrets()[0])
        folder = tiny.root / f"raw-{number}"
        write(placed.bundle, folder)
        found.append((placed, folder))
    return found


def write(bundle: Bundle, folder: Path) -> None:
    """Jobs in a folder of their own, which `kubectl apply -f` does not see."""
    (folder / "jobs").mkdir(parents=True)
    for name, text in bundle.files.items():
        if name.endswith(".yaml"):
            (folder / name).write_text(text)


def apply(path: Path) -> None:
    kubectl("apply", "--server-side", "--field-manager=cortex-ops", "--force-conflicts", "-f", str(path))


SYSTEM = System()
close = SYSTEM.stack.close


def roll(say: Callable[[str], None]) -> tuple[bool, dict[str, Any]]:
    """Promoted, rejected and crashing releases in turn, under load from within."""
    tiny = SYSTEM.project
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder:
        image = build(Path(folder), SYSTEM.address)
    loader = Loader(tiny.namespace, tiny.name, image, "http://api:8080")
    done = {"promoted": 0, "rejected": 0, "crashing": 0}
    began, turn = time.monotonic(), 0
    try:
        while turn < ROLLOUTS or loader.seen()["sent"] < REQUESTS:
            kind = ("promoted", "rejected", "promoted", "promoted", "crashing")[turn % 5]
            tiny.answer(f"{kind} {turn}", mode="crash" if kind == "crashing" else "ok")
            if kind == "rejected":
                tiny.answer(f"{kind} {turn}", expected="something else")
            with contextlib.suppress(OpsError):
                step = tiny.release()
                assert step.ok is (kind == "promoted"), step.message
            done[kind] += 1
            turn += 1
            seen = loader.seen()
            say(f"  {turn} rollouts, {seen['sent']} requests, {seen['failed']} failed")
        time.sleep(1)
        seen = loader.seen()
    finally:
        loader.remove()
    figures = {
        "requests": seen["sent"],
        "failed": seen["failed"],
        "failures": seen["failures"],
        "late": seen["late"],
        "rollouts": turn,
        "kinds": done,
        "seconds": round(time.monotonic() - began, 1),
    }
    return seen["failed"] == 0 and seen["sent"] >= REQUESTS, figures


def bad_image(say: Callable[[str], None]) -> tuple[bool, dict[str, Any]]:
    """Seconds from the kubelet's first failed event to the report. Events tell whole seconds: they are looked for."""
    late: list[float] = []
    tiny = SYSTEM.project
    placed, _ = SYSTEM.contents[0]
    for number in range(5):
        missing = f"sha256:{number:064x}"
        files = {n: t.replace(placed.lock.images["api"].digest, missing) for n, t in placed.bundle.files.items()}
        bad = placed.model_copy(update={"bundle": placed.bundle.model_copy(update={"files": files})})
        target = tiny.target()
        told: list[float] = []

        def look(missing: str = missing, told: list[float] = told) -> bool:
            events = cluster().items(f"/api/v1/namespaces/{tiny.namespace}/events")
            if any(one["reason"] == "Failed" and missing in one.get("message", "") for one in events):
                told.append(time.monotonic() - LOOK_S)  # it was not there at the look before
            return bool(told)

        with beside(look, LOOK_S) as looking:
            try:
                target.apply(bad)
            except OpsError as error:
                reported = time.monotonic()
                assert missing in error.message, error.message
            looking.join(10)  # reported from the pod's own state, which may be there before the event
        late.append(max(reported - told[0], 0.0))
        say(f"  {number + 1}/5: {late[-1]:.2f} s")
        target.restore(placed, bad)
    return max(late) <= 2.0, {"worst seconds": round(max(late), 2), "all": [round(one, 2) for one in late]}


def many(say: Callable[[str], None]) -> tuple[bool, dict[str, Any]]:
    """200 services and 3 stores, every image another one, in a namespace with room for no pod; the worst of five."""
    name = f"many{secrets.token_hex(3)}"
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }
    with tempfile.TemporaryDirectory(prefix="cortex-bench-") as folder, namespace(f"{name}-{ENV}") as space:
        file = Path(folder) / "stack.yaml"
        document = {**json.loads(many_services(200)), "name": name}
        document["environments"][ENV]["target"] = "kubernetes"
        file.write_text(json.dumps(document))
        kubectl("create", "namespace", space)
        kubectl("-n", space, "create", "-f", "-", stdin=json.dumps(quota))
        written = many_on_cluster.placed(file, "a").bundle
        write(written, Path(folder, "there"))
        apply(Path(folder, "there"))
        there = sum(text.count("\nkind: ") for name, text in written.files.items() if "/" not in name)
        say(f"  {there} objects are there")
        argv = [sys.executable, "-m", "bench.many_on_cluster", str(kubeconfig()), name, str(file), "b"]
        seen = []
        for _ in range(5):
            done = subprocess.run(argv, check=True, capture_output=True, text=True)
            seen.append(json.loads(done.stdout))
            say(f"  {seen[-1]}")
    seconds, memory = max(one["plan"] + one["diff"] for one in seen), max(one["MiB"] for one in seen)
    figures = {"objects": there, "worst seconds": round(seconds, 2), "worst MiB": memory, "all": seen}
    return seconds <= 10 and memory <= 300 and all("203 changed" in one["said"] for one in seen), figures


def cases() -> list[Case | Trial]:
    if not os.environ.get("CORTEX_TEST_KUBECONFIG") and not Path("/var/lib/cortex-ops/cluster/kubeconfig").is_file():
        return []
    return [
        Case(
            "rollout to a cluster",
            "ratio",
            1.10,
            SYSTEM.ours,
            SYSTEM.raw,
            "kubectl apply --server-side -f DIR; kubectl rollout status deployment/api",
            prepare=SYSTEM.warm,
        ),
        Case(
            "release to a cluster, whole job",
            "extra",
            1.0,
            SYSTEM.job,
            SYSTEM.raw_job,
            "kubectl apply --server-side -f DIR; kubectl rollout status; kubectl apply the tests' job; kubectl wait; "
            "dagster job execute of one empty asset",
            before=SYSTEM.another,
            prepare=SYSTEM.both_released,
        ),
        Case(
            "release to a cluster, nothing changed",
            "extra",
            1.0,
            SYSTEM.job,
            SYSTEM.empty_job,
            "dagster job execute of one empty asset",
            prepare=SYSTEM.released,
        ),
        Trial("200 services planned and diffed against a cluster", "≤ 10 s and ≤ 300 MiB", many),
        Trial("a missing image on a cluster", "reported ≤ 2 s after the kubelet's first event", bad_image),
        Trial(
            "requests while releases roll on a cluster",
            f"0 failed of ≥ {REQUESTS:,} over ≥ {ROLLOUTS} rollouts",
            roll,
            "from a pod: kept-alive and new connections, GET and POST, 2-second requests; no retries",
        ),
    ]
