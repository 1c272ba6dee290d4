"""The pods' bridge and the packet rules of the node, each made and removed by its own name.

Traffic that meets the bridge goes to the policy engine's queue; the rest of the machine's traffic never does.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from deploy.setup.shell import SetupError, run

BRIDGE = "cortex-cni0"
ADDRESS = "10.244.0.1"
MAC = "02:00:0a:f4:00:01"  # locally administered; the address's own bytes
PODS = "10.244.0.0/24"
SERVICES = "10.96.0.0/16"
DNS = "10.96.0.10"
QUEUE = "100"
COMMENT = "cortex-cluster"

_NEW = ("-m", "conntrack", "--ctstate", "NEW")
_QUEUED = (*_NEW, "-j", "NFQUEUE", "--queue-num", QUEUE)
# (table, chain, rule). The engine's FORWARD policy is DROP: pods are let through, and the policies decide.
RULES = (
    ("filter", "FORWARD", ("-i", BRIDGE, "-j", "ACCEPT")),
    ("filter", "FORWARD", ("-o", BRIDGE, "-j", "ACCEPT")),
    ("nat", "POSTROUTING", ("-s", PODS, "!", "-d", PODS, "!", "-o", BRIDGE, "-j", "MASQUERADE")),
    ("mangle", "FORWARD", ("-i", BRIDGE, *_QUEUED)),
    ("mangle", "FORWARD", ("!", "-i", BRIDGE, "-o", BRIDGE, *_QUEUED)),
    ("mangle", "INPUT", ("-i", BRIDGE, *_QUEUED)),
)
KUBE = "KUBE-"  # chains of kube-proxy and the kubelet


def up() -> None:
    """The bridge with the node's address, and the rules. Raises when another node's are on this machine."""
    if run(["ip", "link", "show", BRIDGE], check=False).returncode:
        run(["ip", "link", "add", BRIDGE, "type", "bridge"])
        run(["ip", "address", "add", f"{ADDRESS}/24", "dev", BRIDGE])
    # A bridge that was given no address takes the lowest of its ports': it would change as pods come and go, and what
    # the others send to the one that they remember would be lost until they ask again.
    run(["ip", "link", "set", "dev", BRIDGE, "address", MAC])
    run(["ip", "link", "set", BRIDGE, "up"])
    # A service's address that has no rule yet leads nowhere, and not out of the machine.
    run(["ip", "route", "replace", SERVICES, "dev", BRIDGE])
    for name in ("net/ipv4/ip_forward", "net/bridge/bridge-nf-call-iptables"):
        _turn_on(name)
    for table, chain, rule in RULES:
        named = [*rule, "-m", "comment", "--comment", COMMENT]
        if run(["iptables", "-w", "-t", table, "-C", chain, *named], check=False).returncode:
            run(["iptables", "-w", "-t", table, "-I", chain, *named])


def refuse_other_nodes() -> None:
    if run(["ip", "link", "show", BRIDGE], check=False).returncode == 0:
        return  # ours, perhaps of a node that was killed
    if f":{KUBE}SERVICES" in run(["iptables-save", "-t", "nat"], check=False).stdout:
        raise SetupError(
            "another Kubernetes node runs on this machine",
            "name its cluster in CORTEX_TEST_KUBECONFIG and use that one",
        )


def _turn_on(name: str) -> None:
    path = Path("/proc/sys") / name
    try:
        if path.read_text().strip() != "1":
            path.write_text("1")
    except OSError as error:
        raise SetupError(f"{path} cannot be set to 1: {error.strerror}", "load the kernel's bridge filter") from None


def down() -> None:
    """Remove the rules, the chains of the node's programs, and the bridge."""
    for table, chain, rule in RULES:
        named = [*rule, "-m", "comment", "--comment", COMMENT]
        while run(["iptables", "-w", "-t", table, "-D", chain, *named], check=False).returncode == 0:
            pass
    for program in ("iptables", "ip6tables"):
        for table in ("filter", "nat", "mangle"):
            _remove_chains(program, table)
    run(["ip", "link", "delete", BRIDGE], check=False)


def _remove_chains(program: str, table: str) -> None:
    lines = run([f"{program}-save", "-t", table], check=False).stdout.splitlines()
    chains = [line[1:].split()[0] for line in lines if line.startswith(f":{KUBE}")]
    for line in lines:
        if line.startswith("-A ") and f"-j {KUBE}" in line and not line.startswith(f"-A {KUBE}"):
            run([program, "-w", "-t", table, "-D", *shlex.split(line[3:])], check=False)
    for chain in chains:
        run([program, "-w", "-t", table, "-F", chain], check=False)
    for chain in chains:
        run([program, "-w", "-t", table, "-X", chain], check=False)
