"""What the cluster of set-up's own making can do with volumes: later parts of the system stand on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.setup.cluster.addons import SNAPSHOT_CLASS, STORAGE_CLASS
from deploy.setup.cluster.node import HOME
from tests.support import scripted
from tests.support.cluster import Object, kubectl, namespace, until

SPACE = "cortex-test-volumes"
WRITE_THEN_SAY = """
import { readFileSync, writeFileSync, existsSync } from 'node:fs'
const file = '/data/text'
if (process.env.TEXT) writeFileSync(file, process.env.TEXT)
console.log(existsSync(file) ? readFileSync(file, 'utf8') : 'nothing')
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[str]:
    with namespace(SPACE):
        kubectl("create", "namespace", SPACE)
        yield scripted.build(tmp_path_factory.mktemp("volumes"), address, "volumes", WRITE_THEN_SAY)


def claim(name: str, **spec: Any) -> None:
    storage = {"storageClassName": STORAGE_CLASS, "accessModes": ["ReadWriteOnce"]}
    wanted = {**storage, "resources": {"requests": {"storage": "16Mi"}}, **spec}
    make({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted})


def make(document: Object) -> None:
    kubectl("-n", SPACE, "create", "-f", "-", stdin=json.dumps(document))


def says(image: str, claim_name: str, name: str, text: str = "") -> str:
    """What a pod with that volume finds there, after it wrote `text`, if any."""
    pod = scripted.pod(name, SPACE, {}, image, {"TEXT": text})
    spec = pod["spec"]
    spec["restartPolicy"] = "Never"
    spec["securityContext"]["fsGroup"] = 1000
    spec["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    make(pod)
    phase = ("-n", SPACE, "get", "pod", name, "-o", "jsonpath={.status.phase}")
    until(f"the end of pod {name}", lambda: kubectl(*phase) == "Succeeded")
    said = kubectl("-n", SPACE, "logs", name).strip()
    kubectl("-n", SPACE, "delete", "pod", name)
    return said


def snapshot(name: str, of: str) -> None:
    spec = {"volumeSnapshotClassName": SNAPSHOT_CLASS, "source": {"persistentVolumeClaimName": of}}
    make(
        {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshot",
            "metadata": {"name": name},
            "spec": spec,
        }
    )
    ready = ("-n", SPACE, "get", "volumesnapshot", name, "-o", "jsonpath={.status.readyToUse}")
    until(f"snapshot {name}", lambda: kubectl(*ready) == "true")


def test_a_claim_made_of_a_snapshot_holds_what_the_volume_held_then(image: str) -> None:
    claim("source")
    assert says(image, "source", "first") == "nothing"
    assert says(image, "source", "writes", "before") == "before"
    snapshot("taken", "source")
    assert says(image, "source", "writes-again", "after") == "after"
    group = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "taken"}
    claim("restored", dataSource=group)
    assert says(image, "restored", "reads") == "before"
    assert says(image, "source", "still") == "after"


def test_what_is_deleted_leaves_no_volume_on_the_node(image: str) -> None:
    claim("short-lived")
    says(image, "short-lived", "writes-once", "x")
    name = kubectl("-n", SPACE, "get", "pvc", "short-lived", "-o", "jsonpath={.spec.volumeName}")
    handle = kubectl("get", "pv", name, "-o", "jsonpath={.spec.csi.volumeHandle}")
    (folder,) = (HOME / "volumes").rglob(handle)
    kubectl("-n", SPACE, "delete", "pvc", "short-lived")
    until("the end of the volume", lambda: not kubectl("get", "pv", name, "--ignore-not-found"))
    assert not folder.exists()
