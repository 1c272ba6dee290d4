"""`python -m bench.many_on_cluster KUBECONFIG STACK STACK_FILE DIGIT`: planned and diffed against a cluster.

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
from cortex_ops.kernel.values import ImageRef, Placed, Placement
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.stack.load import load_stack_text
from cortex_ops.targets.kubernetes.target import KubernetesTarget
from tests.support.made_up_inputs import made_up

ENV = "local"


def placed(path: Path, digit: str) -> Placed:
    """From the text of the stack file to the manifests of a release."""
    stack = load_stack_text(path.read_text(), path)
    given = {"repository": "registry.test/many", "digest": "sha256:" + digit * 64, "user": "1000:1000"}
    inputs = made_up(stack, lambda name: ImageRef(fingerprint=f"{name}-{digit}", **given))
    placement = Placement(seq=1, slot="a")
    return Placed(
        placement=placement,
        bundle=render_kubernetes(inputs, placement),
        lock=inputs.lock,
        secret_versions=inputs.secret_versions,
        identity=digit,
    )


def main(kubeconfig: str, name: str, file: str, digit: str) -> int:
    began = time.monotonic()
    release = placed(Path(file), digit)
    planned = time.monotonic()
    said = KubernetesTarget(Cluster(kubeconfig), name, ENV, f"{name}-{ENV}").difference(release)
    ended = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"plan": planned - began, "diff": ended - planned, "MiB": peak}
    print(json.dumps({**{name: round(one, 2) for name, one in figures.items()}, "said": said.splitlines()[0]}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
