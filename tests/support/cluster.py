"""The cluster that tests use: a person's own, named in CORTEX_TEST_KUBECONFIG, else the one that set-up makes here.

Every test has a namespace of its own and removes it. What only the cluster of set-up's own making can show (its
daemons stopped, its volumes) asks `own_node`.
"""

from __future__ import annotations

import functools
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from cortex_ops.adapters.cluster import Cluster
from cortex_ops.kernel.values import Placed, Placement
from cortex_ops.pipeline.rendering import Renderer
from cortex_ops.render.yaml_output import read_all_yaml, to_yaml
from cortex_ops.targets.kubernetes.target import RUN_LABEL, KubernetesTarget
from deploy.setup.cluster.node import HOME, Node
from deploy.setup.cluster.programs import folder_of
from deploy.setup.engine import cache_folder
from tests.support.registry import registry
from tests.support.tiny import Tiny, create

GIVEN = "CORTEX_TEST_KUBECONFIG"
# A registry that the nodes of a person's cluster and this machine's engine both reach, host:port/prefix.
REGISTRY = "CORTEX_TEST_REGISTRY"
Object = dict[str, Any]


def kubeconfig() -> Path:
    given = os.environ.get(GIVEN)
    path = Path(given) if given else HOME / "kubeconfig"
    assert path.is_file(), f"no kubeconfig at {path}: run `make cluster`, or name one in {GIVEN}"
    return path


def own_node() -> Node | None:
    """The node of set-up's making; None when a person's cluster is used."""
    if os.environ.get(GIVEN):
        return None
    cache = cache_folder()
    return Node(folder_of(cache), cache / "node")


@functools.cache
def cluster() -> Cluster:
    return Cluster(str(kubeconfig()))


def kubectl(*arguments: str, stdin: str = "", check: bool = True, deadline: float = 120) -> str:
    node = own_node()
    program = str(node.programs / "kubectl") if node else "kubectl"
    done = subprocess.run(
        [program, f"--kubeconfig={kubeconfig()}", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=deadline,
        check=False,
    )
    assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def rolled_out(space: str) -> None:
    """Returns when the service's pods are those of its latest revision, and ready."""
    kubectl("-n", space, "rollout", "status", "--timeout=120s", "deployment/api", deadline=150)


@contextmanager
def images(folder: Path) -> Iterator[str]:
    """A registry for the images of tests: `host:port/name` to push to, from which the nodes pull."""
    given = os.environ.get(REGISTRY)
    if given:
        yield given
        return
    with registry(folder) as address:
        yield f"{address}/test"


def until(what: str, ready: Callable[[], Any], deadline: float = 60) -> Any:
    """What `ready` gives once it is true."""
    end = time.monotonic() + deadline
    while True:
        found = ready()
        if found:
            return found
        assert time.monotonic() < end, f"waited {deadline:g} s for {what}"
        time.sleep(0.2)


def remove_namespace(name: str, wait: float = 60) -> None:
    kubectl(
        "delete", "namespace", name, "--ignore-not-found", f"--timeout={wait:g}s", check=False, deadline=wait + 20
    )


def remove_at_once(name: str) -> None:
    """A namespace looks for its pods' end again only after half of their grace: they go first, without any."""
    makers = "deployments,statefulsets,jobs,replicasets"
    kubectl("-n", name, "delete", makers, "--all", "--cascade=orphan", check=False)
    kubectl("-n", name, "delete", "pods", "--all", "--force", "--grace-period=0", check=False)
    remove_namespace(name)


@contextmanager
def namespace(name: str) -> Iterator[str]:
    try:
        yield name
    finally:
        remove_namespace(name)


class ClusterTiny(Tiny):
    """A tiny system whose environment is a namespace of the cluster."""

    @property
    def namespace(self) -> str:
        return self.prefix

    def objects(self, kind: str) -> list[Object]:
        items: list[Object] = json.loads(kubectl("-n", self.namespace, "get", kind, "-o", "json"))["items"]
        return items

    def names(self, kind: str) -> set[str]:
        return {one["metadata"]["name"] for one in self.objects(kind)}

    def get(self, path: str = "/", timeout: float = 5) -> str:
        """What the service answers, asked through the API server."""
        api, service = cluster(), f"/api/v1/namespaces/{self.namespace}/services/api:http/proxy"
        return str(api.raw("GET", service + path, timeout=timeout).data.decode())

    def standing(self) -> set[str]:
        return set()

    def helpers(self, run_ids: list[str]) -> list[str]:
        """Jobs of these runs, and the lease."""
        names = [f"Lease {name}" for name in self.names("leases")]
        for job in self.objects("jobs"):
            if job["metadata"]["labels"].get(RUN_LABEL) in run_ids:
                names.append(f"Job {job['metadata']['name']}")
        return sorted(names)

    def strays(self, serves: str, standing: set[str]) -> list[str]:
        """What differs from the live release's own rendering, strangers among it."""
        placed = self.wire().history("local").placed(int(serves.removeprefix("r")))
        assert placed is not None
        return [change.line() for change in self.target().drift(placed, placed.placement.seq)]

    def target(self, run_id: str = "") -> KubernetesTarget:
        target = self.wire(run_id).target("local")
        assert isinstance(target, KubernetesTarget)
        return target

    def remove(self) -> None:
        for env in self.stack()["environments"]:
            remove_at_once(f"{self.name}-{env}")
        self.remove_images()


class Unharmed:
    """What serves before a release that is to fail; `left` says how the environment differs from it afterwards."""

    KINDS = (
        *("deployments", "statefulsets", "services", "serviceaccounts", "configmaps", "secrets"),
        *("networkpolicies", "persistentvolumeclaims", "jobs", "leases"),
    )

    def __init__(self, tiny: ClusterTiny) -> None:
        self.tiny = tiny
        self.answer, self.live, self.names = tiny.get(), tiny.target().live(), self._names()
        live = tiny.wire().history("local").live()
        assert live is not None and live.outcome is not None
        self.serves = live.outcome.serves

    def _names(self) -> set[str]:
        found = json.loads(kubectl("-n", self.tiny.namespace, "get", ",".join(self.KINDS), "-o", "json"))["items"]
        return {f"{one['kind']} {one['metadata']['name']}" for one in found}

    def left(self) -> list[str]:
        """Empty: the old release serves, all of it, and nothing of the failed one is there."""
        tiny = self.tiny
        out = [f"{answer!r} answers" for answer in (tiny.get(),) if answer != self.answer]
        out += [f"{live} is live" for live in (tiny.target().live(),) if live != self.live]
        out += [f"{name} is there, or is gone" for name in sorted(self._names() ^ self.names)]
        history = tiny.wire().history("local")
        out += [f"r{one.seq} is unfinished" for one in history.unfinished()]
        placed = history.placed(self.serves)
        assert placed is not None
        return out + [change.line() for change in tiny.target().drift(placed, self.serves)]


@contextmanager
def rendered(change: Callable[[list[Object]], None]) -> Iterator[None]:
    """What is rendered meanwhile is changed: all documents of a release but its jobs, as if they were rendered so."""
    place, mark = Renderer.place, secrets.token_hex(4)

    def changed(renderer: Renderer, placement: Placement, versions: dict[str, str]) -> Placed:
        placed = place(renderer, placement, versions)
        files = {name: text for name, text in placed.bundle.files.items() if "/" in name}
        documents = [one for n, text in placed.bundle.files.items() if n not in files for one in read_all_yaml(text)]
        change(documents)
        files["all.yaml"] = "---\n".join(to_yaml(one) for one in documents)
        bundle = placed.bundle.model_copy(update={"files": files})
        return placed.model_copy(update={"bundle": bundle, "identity": f"{placed.identity}-{mark}"})

    with mock.patch.object(Renderer, "place", changed):
        yield


@contextmanager
def rendered_pod(change: Callable[[Object], None]) -> Iterator[None]:
    """The same for the pod spec of the service alone."""

    def changed(documents: list[Object]) -> None:
        (deployment,) = [one for one in documents if one["kind"] == "Deployment"]
        change(deployment["spec"]["template"]["spec"])

    with rendered(changed):
        yield


LIGHT = {"requests": {"cpu": "10m", "memory": "32Mi"}, "cpu": "500m", "memory": "128Mi"}


@contextmanager
def cluster_project(root: Path, address: str, *, postgres: bool = False) -> Iterator[ClusterTiny]:
    """`address`: what `images` gave."""
    made = create(root, postgres=postgres)
    tiny = ClusterTiny(made.root, made.name, made.port)
    tiny.settings_env = {"CORTEX_OPS_REGISTRY": address, "KUBECONFIG": str(kubeconfig())}
    tiny.stack(
        {
            "services": {"api": {"resources": LIGHT}},
            "environments": {"local": {"target": "kubernetes", "start_deadline": 60}},
        }
    )
    try:
        yield tiny
    finally:
        tiny.remove()
