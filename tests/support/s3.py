"""A real S3 server (moto) on a loopback port: started and stopped by the test that asks for it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from cortex_ops.adapters.s3 import S3Settings, make_client

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "sample-access", "AWS_SECRET_ACCESS_KEY": "sample-secret-value"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Yields the endpoint's URL."""
    for _ in range(3):
        port = free_port()
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if _answers(server, f"http://127.0.0.1:{port}/"):
                yield f"http://127.0.0.1:{port}"
                return
        finally:
            server.terminate()
            server.wait(10)
    raise RuntimeError("the S3 server did not start")


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def credentials() -> Iterator[None]:
    """Put sample credentials where boto3 looks for them."""
    before = {key: os.environ.get(key) for key in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def objects(client: Any, bucket: str) -> Iterator[tuple[str, bytes]]:
    """Every object's key with its metadata, and its content."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for row in page.get("Contents", ()):
            got = client.get_object(Bucket=bucket, Key=row["Key"])
            yield f"{row['Key']} {got['Metadata']}", got["Body"].read()


def a_client(endpoint: str) -> Any:
    """Path style and no optional checksums, as third-party stores want it."""
    with credentials():
        return make_client(S3Settings(endpoint=endpoint, path_style=True, checksums="when_required"))
