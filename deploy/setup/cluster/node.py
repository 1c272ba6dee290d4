"""The node's daemons: what each is started with, in which order, and how all of it is removed again.

containerd, etcd, the control plane, kubelet and kube-proxy run as ordinary processes of this machine, each stopped by
its own pid. Everything they write is below `home` and `runtime`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from deploy.setup.cluster import network, oci
from deploy.setup.cluster.pki import Authority, kubeconfig
from deploy.setup.daemons import Daemon, listens
from deploy.setup.shell import SetupError, run

HOME = Path("/var/lib/cortex-ops/cluster")
RUNTIME = Path("/run/cortex-ops/cluster")
NAME = "cortex-node"
API = f"https://{network.ADDRESS}:6443"
ETCD = "127.0.0.1:23790"
ETCD_PEER = "127.0.0.1:23800"
METRICS_PORT = 4443
IMAGES = ("pause", "coredns", "kube-network-policies")


def image(program: str) -> str:
    """The name under which the node holds the image of one of its own programs."""
    return f"cluster.cortex-ops.test/{program}:1"


@dataclass(frozen=True)
class Node:
    """`programs`: what `ensure_programs` gave; `unpacked`: a folder of unpacked packages; `registry`: host:port of a
    registry that speaks plain HTTP, trusted."""

    programs: Path
    unpacked: Path
    registry: str = ""
    home: Path = HOME
    runtime: Path = RUNTIME

    # -- paths -----------------------------------------------------------------------------------------------
    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.home / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.home / "pki"

    @property
    def _socket(self) -> Path:
        return self.runtime / "containerd.sock"

    @property
    def kubelet_folder(self) -> Path:
        return self.home / "kubelet"

    def running(self) -> bool:
        return self.api_server().running() and self.kubelet().running()

    def alive(self) -> bool:
        """Whether any of its programs runs."""
        return any(daemon.running() for daemon in self.all())

    # -- daemons ---------------------------------------------------------------------------------------------
    def daemon(self, name: str, *arguments: str, program: str = "") -> Daemon:
        """One of the node's programs; its log is `<home>/<name>.log`, its pid is below `runtime`."""
        path = f"{self.unpacked}/usr/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"
        argv = (program or str(self.programs / name), *arguments)
        return Daemon(name, argv, self.runtime / f"{name}.pid", self.home / f"{name}.log", path)

    def containerd(self) -> Daemon:
        program = str(self.unpacked / "usr/bin/containerd")
        return self.daemon("containerd", "-c", str(self.home / "containerd.toml"), program=program)

    def etcd(self) -> Daemon:
        return self.daemon(
            "etcd",
            f"--data-dir={self.home}/etcd",
            f"--listen-client-urls=http://{ETCD}",
            f"--advertise-client-urls=http://{ETCD}",
            f"--listen-peer-urls=http://{ETCD_PEER}",
            f"--initial-advertise-peer-urls=http://{ETCD_PEER}",
            f"--initial-cluster=default=http://{ETCD_PEER}",
            "--unsafe-no-fsync",  # what it holds is made again, not recovered
            "--log-level=warn",
        )

    def api_server(self) -> Daemon:
        pki = self.pki
        return self.daemon(
            "kube-apiserver",
            f"--etcd-servers=http://{ETCD}",
            f"--bind-address={network.ADDRESS}",
            f"--advertise-address={network.ADDRESS}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={network.SERVICES}",
            f"--client-ca-file={pki}/cluster.crt",
            f"--tls-cert-file={pki}/api-server.crt",
            f"--tls-private-key-file={pki}/api-server.key",
            f"--kubelet-client-certificate={pki}/api-server.crt",
            f"--kubelet-client-key={pki}/api-server.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-issuer={API}",
            f"--service-account-key-file={pki}/accounts.crt",
            f"--service-account-signing-key-file={pki}/accounts.key",
            f"--requestheader-client-ca-file={pki}/front.crt",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki}/front-proxy.crt",
            f"--proxy-client-key-file={pki}/front-proxy.key",
            "--enable-aggregator-routing=true",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",  # the policy engine reads the packets' queue
            "--anonymous-auth=false",
            "--profiling=false",
            "--shutdown-delay-duration=0s",
        )

    def controller_manager(self) -> Daemon:
        return self.daemon(
            "kube-controller-manager",
            f"--kubeconfig={self.home}/controller-manager.conf",
            f"--root-ca-file={self.pki}/cluster.crt",
            f"--service-account-private-key-file={self.pki}/accounts.key",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--secure-port=0",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=15s",
            f"--flex-volume-plugin-dir={self.home}/flex",
        )

    def scheduler(self) -> Daemon:
        return self.daemon(
            "kube-scheduler",
            f"--kubeconfig={self.home}/scheduler.conf",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def kubelet(self) -> Daemon:
        return self.daemon(
            "kubelet",
            f"--config={self.home}/kubelet.yaml",
            f"--kubeconfig={self.home}/kubelet.conf",
            f"--root-dir={self.kubelet_folder}",
            f"--cert-dir={self.home}/kubelet-pki",
            f"--hostname-override={NAME}",
            f"--node-ip={network.ADDRESS}",
        )

    def proxy(self) -> Daemon:
        return self.daemon(
            "kube-proxy",
            f"--kubeconfig={self.home}/proxy.conf",
            f"--hostname-override={NAME}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={network.PODS}",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
            "--healthz-bind-address=",
            f"--metrics-bind-address={network.ADDRESS}:10249",
        )

    def metrics(self) -> Daemon:
        return self.daemon(
            "metrics-server",
            f"--kubeconfig={self.home}/metrics.conf",
            f"--authentication-kubeconfig={self.home}/metrics.conf",
            f"--authorization-kubeconfig={self.home}/metrics.conf",
            f"--bind-address={network.ADDRESS}",
            f"--secure-port={METRICS_PORT}",
            f"--tls-cert-file={self.pki}/metrics.crt",
            f"--tls-private-key-file={self.pki}/metrics.key",
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
            "--kubelet-insecure-tls",
            "--kubelet-preferred-address-types=InternalIP",
        )

    def volumes(self) -> list[Daemon]:
        """The driver, and the controllers that use it."""
        driver = self.runtime / "csi.sock"
        client = (f"--kubeconfig={self.home}/volumes.conf",)
        return [
            self.daemon(
                "hostpath-fixture",
                f"-root={self.home}/volumes",
                f"-node={NAME}",
                f"-socket={driver}",
                f"-registration={self.kubelet_folder}/plugins_registry/hostpath-fixture.sock",
            ),
            self.daemon("csi-provisioner", *client, f"--csi-address={driver}", "--worker-threads=4"),
            self.daemon("csi-snapshotter", *client, f"--csi-address={driver}"),
            self.daemon("snapshot-controller", *client),
        ]

    def all(self) -> list[Daemon]:
        """In the order of starting."""
        first = [self.containerd(), self.etcd(), self.api_server()]
        return [*first, *self._others(), self.metrics(), *self.volumes()]

    def _others(self) -> list[Daemon]:
        """What talks to the API server, and makes the node ready."""
        return [self.controller_manager(), self.scheduler(), self.kubelet(), self.proxy()]

    # -- starting --------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Everything up to a node that is Ready; idempotent."""
        network.refuse_other_nodes()
        for folder in (self.home, self.runtime, self.kubelet_folder / "plugins_registry", self.home / "flex"):
            folder.mkdir(parents=True, exist_ok=True)
        self._write()
        network.up()
        self.containerd().start(lambda: listens(self._socket))
        self.etcd().start(lambda: _connects(ETCD))
        self._images()
        self.api_server().start(lambda: self.get("/readyz") is not None, deadline=90)
        for daemon in self._others():
            daemon.start(daemon.running, deadline=20)
        self._wait("the node to be ready", self.ready, 90)

    def _wait(self, what: str, ready: Callable[[], bool], deadline: float) -> None:
        end = time.monotonic() + deadline
        while not ready():
            for daemon in (self.api_server(), *self._others()):
                if not daemon.running():
                    tail = "\n    ".join(daemon.log.read_text(errors="replace").splitlines()[-6:])
                    raise SetupError(f"{daemon.name} ended; its log {daemon.log} ends with:\n    {tail}")
            if time.monotonic() > end:
                raise SetupError(f"waited {deadline:g} s for {what}", f"see {self.kubelet().log}")
            time.sleep(0.2)

    def ready(self) -> bool:
        """Whether the node takes pods."""
        node = self.get(f"/api/v1/nodes/{NAME}") or {}
        conditions = (node.get("status") or {}).get("conditions") or []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def get(self, path: str) -> Any:
        """What the API server answers, as JSON or text; None when it does not answer with 200."""
        try:
            with urllib.request.urlopen(API + path, context=self._tls, timeout=5) as answer:
                data = answer.read()
        except (OSError, urllib.error.URLError, ssl.SSLError):
            return None
        with contextlib.suppress(ValueError):
            return json.loads(data)
        return data.decode()

    def reaches(self, port: int) -> bool:
        """Whether something listens there, on the node's address."""
        return _connects(f"{network.ADDRESS}:{port}")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.pki / "cluster.crt"))
        context.load_cert_chain(self.pki / "administrator.crt", self.pki / "administrator.key")
        return context

    def _images(self) -> None:
        """Give the node the images of its own programs, unless it has them."""
        have = self.ctr("images", "list", "-q").split()
        for program in IMAGES:
            if image(program) not in have:
                archive = self.home / f"{program}.tar"
                oci.archive(self.programs / program, image(program), archive, architecture=_architecture())
                self.ctr("images", "import", str(archive))
                archive.unlink()

    def ctr(self, *arguments: str, check: bool = True) -> str:
        argv: list[str | Path] = [self.unpacked / "usr/bin/ctr", "-a", self._socket, "-n", "k8s.io", *arguments]
        return run(argv, check=check, deadline=120).stdout

    # -- files -----------------------------------------------------------------------------------------------
    def _write(self) -> None:
        self._certificates()
        (self.home / "containerd.toml").write_text(self._containerd_settings())
        cni = self.home / "cni"
        cni.mkdir(exist_ok=True)
        (cni / "10-cortex.conflist").write_text(json.dumps(self._cni()))
        (self.home / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet_settings()))
        # Public images are where set-up put its own under their names.
        for name in (self.registry, "docker.io") if self.registry else ():
            folder = self.home / "certs.d" / name
            folder.mkdir(parents=True, exist_ok=True)
            host = f'[host."http://{self.registry}"]\n  capabilities = ["pull", "resolve"]\n'
            (folder / "hosts.toml").write_text(host)

    def _certificates(self) -> None:
        if self.kubeconfig.is_file():
            return
        authority, front = Authority(self.pki, "cluster"), Authority(self.pki, "front")
        names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
        hosts = (*names, "10.96.0.1", network.ADDRESS, "127.0.0.1")
        authority.issue("api-server", user="kube-apiserver", groups=("system:masters",), hosts=hosts)
        authority.issue("accounts", user="service-accounts")
        authority.issue("metrics", user="metrics-server", hosts=(network.ADDRESS,))
        front.issue("front-proxy", user="front-proxy")
        identities = {
            "controller-manager": ("system:kube-controller-manager", ()),
            "scheduler": ("system:kube-scheduler", ()),
            "kubelet": (f"system:node:{NAME}", ("system:nodes",)),
            "proxy": ("system:kube-proxy", ()),
            "metrics": ("cortex-ops:metrics", ("system:masters",)),
            "volumes": ("cortex-ops:volumes", ("system:masters",)),
        }
        for name, (user, groups) in identities.items():
            pair = authority.issue(f"{name}-client", user=user, groups=groups)
            kubeconfig(self.home / f"{name}.conf", API, authority.pair, pair)
        pair = authority.issue("administrator", user="cortex-ops:administrator", groups=("system:masters",))
        kubeconfig(self.kubeconfig, API, authority.pair, pair)

    def _containerd_settings(self) -> str:
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        return (
            f'version = 2\nroot = "{self.home}/containerd"\nstate = "{self.runtime}/containerd"\n'
            f'[grpc]\n  address = "{self._socket}"\n'
            f'[{cri}]\n  sandbox_image = "{image("pause")}"\n'
            # Where the kernel grants no CAP_SYS_RESOURCE, a lower score cannot be set and no sandbox would start.
            "  restrict_oom_score_adj = true\n  netns_mounts_under_state_dir = true\n"
            f'[{cri}.cni]\n  bin_dir = "/usr/lib/cni"\n  conf_dir = "{self.home}/cni"\n'
            f'[{cri}.registry]\n  config_path = "{self.home}/certs.d"\n'
            f'[{cri}.containerd]\n  snapshotter = "overlayfs"\n'
        )

    def _cni(self) -> dict[str, Any]:
        bridge = {
            "type": "bridge",
            "bridge": network.BRIDGE,
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": network.PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
                "dataDir": str(self.home / "addresses"),
            },
        }
        return {"cniVersion": "1.0.0", "name": network.COMMENT, "plugins": [bridge]}

    def _kubelet_settings(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": network.ADDRESS,
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.pki / "cluster.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "failSwapOn": False,
            "clusterDNS": [network.DNS],
            "clusterDomain": "cluster.local",
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "podLogsDir": str(self.home / "pod-logs"),
            "volumePluginDir": str(self.home / "flex"),
            "enforceNodeAllocatable": ["none"],
            "serializeImagePulls": False,
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "nodeStatusUpdateFrequency": "5s",
        }

    # -- removing --------------------------------------------------------------------------------------------
    def remove(self) -> bool:
        """Stop everything and leave nothing behind; true when there was something."""
        existed = self.home.exists() or self.runtime.exists()
        *first, containerd = reversed(self.all())
        for daemon in first:
            existed = daemon.stop() or existed
        if containerd.running():
            self._end_containers()
            containerd.stop()
        _end_shims(self.runtime)
        for mount in reversed(self._mounts()):
            run(["umount", "--lazy", mount], check=False)
        network.down()
        for group in sorted(Path("/sys/fs/cgroup").glob("**/kubepods/**/"), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        self._remove_traces()
        for folder in (self.home, self.runtime):
            shutil.rmtree(folder, ignore_errors=True)
        return existed

    def _end_containers(self) -> None:
        for name in self.ctr("tasks", "list", "-q", check=False).split():
            self.ctr("tasks", "kill", "-s", "SIGKILL", "-a", name, check=False)
        for name in self.ctr("containers", "list", "-q", check=False).split():
            self.ctr("tasks", "delete", "-f", name, check=False)
            self.ctr("containers", "delete", name, check=False)

    def _remove_traces(self) -> None:
        """What the kubelet and the network plugins write outside of our folders."""
        for link in Path("/var/log/containers").glob("*.log"):
            if link.is_symlink() and str(link.readlink()).startswith(str(self.home)):
                link.unlink()
        for result in Path("/var/lib/cni/results").glob(f"{network.COMMENT}-*"):
            result.unlink()

    def _mounts(self) -> list[str]:
        points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [p for p in points if any(f in Path(p).parents for f in (self.home, self.runtime))]


def _end_shims(runtime: Path) -> None:
    """Shims outlive their containerd; ours are known by its socket."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"containerd-shim" in words[0] and f"{runtime}/".encode() in b" ".join(words):
                os.kill(int(process.name), 9)


def _connects(address: str) -> bool:
    host, _, port = address.partition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
