"""The sample, whole, on the cluster: released with its own tests; and again by hand, with kubectl alone."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.setup.cluster.network import ADDRESS
from tests.support.cluster import kubeconfig, kubectl, own_node, remove_namespace, until
from tests.support.engine import ROOT
from tests.support.sample import sample_project
from tests.support.tiny import Tiny

HOST = ADDRESS if own_node() else "192.0.2.7"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Tiny]:
    with sample_project(tmp_path_factory.mktemp("sample")) as tiny:
        tiny.settings_env = {"CORTEX_OPS_REGISTRY": address, "KUBECONFIG": str(kubeconfig())}
        spec = {"target": "kubernetes", "start_deadline": 150, "kubernetes": {"host_address": HOST}}
        tiny.stack({"environments": {"local": spec}})
        try:
            yield tiny
        finally:
            remove_namespace(tiny.prefix, 120)
            tiny.remove_images()


def test_the_sample_is_released_to_a_cluster_and_passes_its_own_tests(sample: Tiny) -> None:
    step = sample.release()
    assert step.ok, step.message
    assert step.verdict is not None and len(step.verdict.cases) == 14
    assert {case.outcome for case in step.verdict.cases} == {"passed"}
    again = sample.release()
    assert again.ok and again.noop


def test_the_autoscaler_has_what_it_scales_by(sample: Tiny) -> None:
    def figures() -> list[int]:
        found = json.loads(kubectl("-n", sample.prefix, "get", "hpa", "cortex-os", "-o", "json"))["status"]
        current = [one.get("resource", {}).get("current", {}) for one in found.get("currentMetrics") or []]
        known = [one["averageUtilization"] for one in current if "averageUtilization" in one]
        return known if len(known) == 2 else []

    until("figures of processor and memory", figures, 120)
    found = json.loads(kubectl("-n", sample.prefix, "get", "hpa", "cortex-os", "-o", "json"))
    assert found["status"]["currentReplicas"] >= 3


def test_the_rendered_folder_works_with_kubectl_alone(sample: Tiny, tmp_path: Path) -> None:
    """What its README says is typed here, in its order, in another namespace; a small node has not room for both."""
    remove_namespace(sample.prefix, 120)
    space = f"{sample.prefix}-hand"
    sample.stack({"environments": {"local": {"kubernetes": {"namespace": space}}}})
    try:
        out = tmp_path / "manifests"
        render = ("render", "--kind", "kubernetes", "-e", "local", "-o", str(out))
        _ops(sample, *render)
        _ops(sample, "secrets", "apply", "-e", "local")
        text = (out / "README.md").read_text()
        assert "cortex-ops secrets apply -e local" in text
        kubectl("apply", "-f", f"{out}/00-namespace.yaml")
        kubectl("apply", "-f", str(out))
        node = own_node()
        program = str(node.programs / "kubectl") if node else "kubectl"
        argv = [program, f"--kubeconfig={kubeconfig()}", "diff", "-f", str(out)]
        diff = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert diff.returncode == 0, diff.stdout + diff.stderr
        jobs = [shlex.split(line)[-1] for line in text.splitlines() if re.match(r"    kubectl create -f jobs/", line)]
        migration, tests = sorted(jobs, key=lambda name: "migrate" not in name)
        ready(space, "statefulset")
        job(space, out / migration)
        ready(space, "deployment")
        made = job(space, out / tests)
        log = kubectl("-n", space, "logs", made)
        assert re.search(r"14 passed, 0 failed", log), log[-2000:]
    finally:
        sample.stack({"environments": {"local": {"kubernetes": {"namespace": None}}}})
        remove_namespace(space, 120)


def ready(space: str, kind: str) -> None:
    for name in kubectl("-n", space, "get", kind, "-o", "name").split():
        kubectl("-n", space, "rollout", "status", "--timeout=120s", name, deadline=150)


def job(space: str, file: Path) -> str:
    """Its name, once it is complete."""
    made = kubectl("create", "-f", str(file), "-o", "name").split()[-1]
    kubectl("-n", space, "wait", "--for=condition=Complete", "--timeout=120s", made, deadline=150)
    return made


def _ops(tiny: Tiny, *arguments: str) -> str:
    argv = [sys.executable, "-m", "cortex_ops.cli.main", *arguments]
    done = subprocess.run(
        argv, cwd=ROOT, env=tiny.environ(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
