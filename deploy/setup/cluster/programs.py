"""The node's programs: built once from Go modules whose versions and hashes are committed, kept in the cache."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from deploy.setup import debian, tools
from deploy.setup.packages import CNI_PACKAGES, NODE_PACKAGES
from deploy.setup.shell import run, step

SOURCES = Path(__file__).resolve().parents[2] / "bare" / "cluster"
KUBERNETES = "v1.34.4"
NODE = (
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-proxy",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kubectl",
    "k8s.io/kubernetes/cmd/kubelet",
    "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "./coredns",
    "./kube-network-policies",
    "./pause",
)
CSI = (
    "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner",
    "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter",
    "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller",
    "./hostpath-fixture",
)
SNAPSHOT_API = "github.com/kubernetes-csi/external-snapshotter/client/v8"
VERSION = "k8s.io/component-base/version"
FLAGS = f"-s -w -X {VERSION}.gitVersion={KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=34"


def ensure_programs(cache: Path) -> Path:
    """The folder of all programs, named by what they were built from; about five minutes on two cores, once."""
    debian.ensure(CNI_PACKAGES)
    etcd = debian.newer(cache, "node", NODE_PACKAGES) / "usr/bin/etcd"
    folder = folder_of(cache)
    if not (folder / ".complete").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with step(f"building Kubernetes {KUBERNETES} from its Go modules (once, about five minutes)"):
            _build(cache, "node", folder, NODE, FLAGS)
        with step("building the volume and snapshot controllers from their Go modules (once, about two minutes)"):
            _build(cache, "csi", folder, CSI, "-s -w")
            _snapshot_kinds(cache, folder / "snapshot-kinds")
        (folder / ".complete").write_text("")
    tools.link(etcd, folder / "etcd")
    return folder


def folder_of(cache: Path) -> Path:
    """Where the programs are, built or not."""
    return cache / "cluster" / _content()


def _build(cache: Path, module: str, target: Path, packages: tuple[str, ...], flags: str) -> None:
    how = ("-trimpath", "-mod=readonly", tools.UNDEBUGGED, "-ldflags", flags)
    argv: list[str | Path] = [tools.go(cache), "build", *how]
    output = f"{target}/" if target.is_dir() else str(target)
    run(
        [*argv, "-o", output, *packages],
        env=tools.go_environment(),
        cwd=SOURCES / module,
        deadline=2400,
        remedy=tools.GO_REMEDY,
    )


def _snapshot_kinds(cache: Path, target: Path) -> None:
    """The kinds of snapshots, as the module that serves them carries them."""
    module = tools.go_module(cache, SOURCES / "csi", SNAPSHOT_API)
    target.mkdir()
    for path in sorted((module / "config" / "crd").glob("snapshot.*.yaml")):
        shutil.copyfile(path, target / path.name)


def _content() -> str:
    hashed = hashlib.sha256(f"{FLAGS} 1\n".encode())
    for path in sorted(p for p in SOURCES.rglob("*") if p.is_file()):
        hashed.update(f"{path.relative_to(SOURCES)}\0".encode() + path.read_bytes())
    return hashed.hexdigest()[:16]
