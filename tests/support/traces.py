"""What a node of a cluster leaves on a machine, as the machine itself shows it: asked before and afterwards."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

FOLDERS = (
    *("/etc/cni", "/run/cortex-ops", "/run/netns", "/var/lib/cni", "/var/lib/cortex-ops", "/var/lib/kubelet"),
    *("/var/log/containers", "/var/log/pods"),
)
PROGRAMS = ("containerd", "coredns", "csi-", "etcd", "hostpath", "kube", "metrics-server", "pause", "snapshot-")


def traces() -> set[str]:
    """Processes, mounts, links, packet rules, control groups and files; one line each."""
    return {*_processes(), *_mounts(), *_network(), *_groups(), *_files()}


def _processes() -> set[str]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = (process / "exe").readlink()
            if program.name.startswith(PROGRAMS):
                found.add(f"process {process.name} of {program}")
    return found


def _mounts() -> set[str]:
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return {f"mount {point}" for point in points if "docker" not in point}


def _network() -> set[str]:
    links = [line.split(":")[1].strip() for line in _said("ip", "-o", "link").splitlines()]
    found = {f"link {name.partition('@')[0]}" for name in links if name.startswith(("cortex", "cni"))}
    for program in ("iptables-save", "ip6tables-save"):
        rules = [line for line in _said(program).splitlines() if "KUBE-" in line or "cortex" in line]
        found |= {f"{program}: {rule.partition(' [')[0]}" for rule in rules}
    return found


def _groups() -> set[str]:
    return {f"control group {path}" for path in Path("/sys/fs/cgroup").rglob("*kubepods*")}


def _files() -> set[str]:
    return {f"file {path}" for folder in FOLDERS if Path(folder).is_dir() for path in Path(folder).glob("*")}


def _said(*argv: str) -> str:
    with contextlib.suppress(OSError):
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    return ""
