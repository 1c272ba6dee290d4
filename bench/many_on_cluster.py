"""`python -m bench.many_on_cluster KUBECONFIG STACK_FILE DIGIT`: many services planned and diffed against a cluster.

A process of its own, so that its memory is its own. Prints one line of JSON. The images are those of `DIGIT`: another
one than what is there is another image of every service.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from cortex_ops.adapters.cluster import Cluster
from cortex_ops.kernel.values import ImageLock, ImageRef, Placed, Placement
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.secrets.delivery import consumers
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import load_stack_text
from cortex_ops.targets.kubernetes.target import KubernetesTarget

ENV = "local"


def placed(path: Path, digit: str) -> Placed:
    """From the text of the stack file to the manifests of a release."""
    stack = load_stack_text(path.read_text(), path)
    names = [*stack.services, *stack.stores, "edge", "integration-tests"]
    given = {"repository": "registry.test/many", "digest": "sha256:" + digit * 64, "user": "1000:1000"}
    lock = ImageLock(
        source_revision="r",
        source_dirty=False,
        images={name: ImageRef(fingerprint=f"{name}-{digit}", **given) for name in names},
    )
    inputs = RenderInputs(
        stack=stack,
        environment=resolve(stack, ENV),
        lock=lock,
        secret_versions=dict.fromkeys(consumers(stack), "0123456789ab"),
    )
    placement = Placement(seq=1, slot="a")
    bundle = render_kubernetes(inputs, placement)
    return Placed(
        placement=placement, bundle=bundle, lock=lock, secret_versions=inputs.secret_versions, identity=digit
    )


def target(kubeconfig: str, stack: str) -> KubernetesTarget:
    return KubernetesTarget(Cluster(kubeconfig), stack, ENV, f"{stack}-{ENV}")


def main(kubeconfig: str, file: str, digit: str) -> int:
    began = time.monotonic()
    release = placed(Path(file), digit)
    planned = time.monotonic()
    said = target(kubeconfig, json.loads(Path(file).read_text())["name"]).difference(release)
    ended = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"plan": planned - began, "diff": ended - planned, "MiB": peak}
    print(json.dumps({**{name: round(one, 2) for name, one in figures.items()}, "said": said.splitlines()[0]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
