"""Real registries for tests: with a login, with a certificate of a private authority, over an existing folder."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.setup.engine import cache_folder
from tests.support.engine import docker, docker_env, record, remove_images
from tests.support.tiny import free_port

USER, PASSWORD = "ci", "sentinel-login-9f2c71d04b"
_HTPASSWD = f"{USER}:$2b$04$vuAgCWfD0EOpAAc9X1IJy.3zkpAtlXPCgjCLrLXmptn0l1mHXug.m\n"  # bcrypt of PASSWORD
BASE_IMAGES = cache_folder() / "registry"


@contextmanager
def registry(
    folder: Path, *, login: bool = False, tls: Authority | None = None, root: Path | None = None
) -> Iterator[str]:
    """`host:port` of a registry below `folder`. With `tls` it listens on an address that the engine does not take for
    insecure, as it takes all of 127.0.0.0/8. `root`: the data of another, read-only."""
    folder.mkdir(parents=True, exist_ok=True)
    host = tls.address if tls else "127.0.0.1"
    port = free_port()
    storage: dict[str, object] = {"filesystem": {"rootdirectory": str(root or folder / "data")}}
    if root:
        storage["maintenance"] = {"readonly": {"enabled": True}}
    document: dict[str, object] = {"version": "0.1", "log": {"level": "warn"}, "storage": storage}
    document["http"] = {"addr": f"{host}:{port}"}
    if tls:
        document["http"] = {
            "addr": f"{host}:{port}",
            "tls": {"certificate": str(tls.certificate), "key": str(tls.key)},
        }
    if login:
        (folder / "htpasswd").write_text(_HTPASSWD)
        document["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    (folder / "registry.yml").write_text(json.dumps(document))
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [str(cache_folder() / "newer/usr/bin/docker-registry"), "serve", str(folder / "registry.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _wait(host, port, tls, child, folder / "log")
            yield f"{host}:{port}"
        finally:
            child.terminate()
            child.wait(10)
            remove_images(lambda name: name.startswith(f"{host}:{port}/"))


def _wait(host: str, port: int, tls: Authority | None, child: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and child.poll() is None:
        try:
            if tls:
                context = ssl.create_default_context(cafile=str(tls.bundle))
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, context=context)
            else:
                connection = http.client.HTTPConnection(host, port, timeout=2)
            connection.request("GET", "/v2/")
            assert connection.getresponse().status in (200, 401)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


class Authority:
    """A private certificate authority, and one certificate of it for the engine's bridge address."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.address = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
        with socket.socket() as probe:
            probe.bind((self.address, 0))  # the engine is on this machine
        self.bundle, self.certificate, self.key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        new = (
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        )
        _run(*new, "-subj", "/CN=private test authority", "-keyout", str(folder / "ca.key"), "-out", str(self.bundle))
        _run(
            *new,
            *("-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{self.address}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-CA", str(self.bundle), "-CAkey", str(folder / "ca.key")),
            *("-keyout", str(self.key), "-out", str(self.certificate)),
        )

    @contextmanager
    def trusted_by_the_engine(self, registry: str) -> Iterator[None]:
        """As its administrator would do it: a file for this one registry, which the engine reads at each use."""
        folder = Path("/etc/docker/certs.d") / registry
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True)
        try:
            (folder / "ca.crt").write_bytes(self.bundle.read_bytes())
            yield
        finally:
            (folder / "ca.crt").unlink()
            for path in made:
                if not any(path.iterdir()):
                    path.rmdir()


def push_as_user(registry: str, image: str, name: str, folder: Path) -> str:
    """Put an image of the engine into a registry that asks for a login, with the raw CLI; returns its name there."""
    config = folder / "raw-config"
    config.mkdir()
    env = {**docker_env(), "DOCKER_CONFIG": str(config)}
    program = record()["docker"]
    login = [program, "login", "-u", USER, "--password-stdin", registry]
    subprocess.run(login, env=env, input=PASSWORD.encode(), check=True, capture_output=True)
    target = f"{registry}/{name}"
    docker("tag", image, target)
    try:
        subprocess.run([program, "push", "-q", target], env=env, check=True, capture_output=True)
    finally:
        docker("image", "rm", target)
    return target


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def forget(host: str) -> None:
    """Remove what came from a test's registry from the engine."""
    listed = docker("image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}").split()
    for name in listed:
        if name.startswith(f"{host}/"):
            docker("image", "rm", "-f", name, check=False)
