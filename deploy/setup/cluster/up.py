"""`make cluster` and `make cluster-down`: bring the node and all that belongs to it up, and remove it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from deploy.setup import debian
from deploy.setup.cluster.addons import SYSTEM, addons
from deploy.setup.cluster.node import HOME, METRICS_PORT, RUNTIME, Node
from deploy.setup.cluster.programs import ensure_programs
from deploy.setup.engine import cache_folder, registry
from deploy.setup.lock import alone
from deploy.setup.shell import SetupError, run, say, step

BARE = "the test cluster can be set up only on Debian, as root"


def ensure_cluster() -> Node:
    """The node, Ready, with names, policies, figures and volumes; under 30 s when its programs are built."""
    if not debian.is_bare_debian():
        raise SetupError(BARE, "name the kubeconfig of a cluster of yours in CORTEX_TEST_KUBECONFIG")
    cache = cache_folder()
    with alone(cache):
        programs = ensure_programs(cache)
        trusted = registry().start()
        node = Node(programs, cache / "node", trusted)
        began = time.monotonic()
        if node.home.exists() and not node.alive():
            say("  the cluster's programs were ended without it: what is left of it is removed, it is made anew")
            node.remove()
        if node.running() and node.get("/readyz") is not None:
            say("✓ the cluster runs")
        with step("a Kubernetes node of this machine's own"):
            node.start()
            _add(node)
    say(f"✓ the cluster is ready after {time.monotonic() - began:.1f} s; `make cluster-down` removes it. To use it:")
    say(f"  export KUBECONFIG={node.kubeconfig}; export PATH={programs}:$PATH; kubectl get pods -A")
    return node


def _add(node: Node) -> None:
    # Whether an API that another server serves is there is asked at once, and again only much later.
    node.metrics().start(lambda: node.reaches(METRICS_PORT))
    kinds = node.programs / "snapshot-kinds"
    _kubectl(node, "apply", "--server-side", "--force-conflicts", "-f", str(kinds))
    _kubectl(node, "wait", "--for=condition=Established", "--timeout=30s", "-f", str(kinds))
    path = node.home / "addons.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": addons()}))
    _kubectl(node, "apply", "--server-side", "--force-conflicts", "-f", str(path))
    for daemon in node.volumes():
        daemon.start(daemon.running)
    for what in ("deployment/coredns", "daemonset/kube-network-policies"):
        _kubectl(node, "-n", SYSTEM, "rollout", "status", "--timeout=60s", what)
    end = time.monotonic() + 60
    while not all((_driver(node), _figures(node))):
        if time.monotonic() > end:
            raise SetupError(
                "the cluster's volumes or figures did not come within 60 s", f"see the logs in {node.home}"
            )
        time.sleep(0.3)


def _driver(node: Node) -> bool:
    found: Any = node.get("/apis/storage.k8s.io/v1/csinodes") or {}
    return any(one["spec"].get("drivers") for one in found.get("items", []))


def _figures(node: Node) -> bool:
    found: Any = node.get("/apis/metrics.k8s.io/v1beta1/nodes")
    return bool(found and found.get("items"))


def _kubectl(node: Node, *arguments: str) -> str:
    argv: list[str | Path] = [node.programs / "kubectl", f"--kubeconfig={node.kubeconfig}", *arguments]
    return run(argv, deadline=120).stdout


def remove_cluster() -> None:
    cache = cache_folder()
    if not (HOME.exists() or RUNTIME.exists()):
        say("✓ no cluster is here")
        return
    with alone(cache):
        node = Node(cache / "cluster" / "none", cache / "node", "")
        if node.remove():
            say("✓ removed the cluster and everything that it made")
