"""The image, run as the stack runs it: numeric user, read-only root, one volume, no capability, key from a file."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standin_process import SOURCE

from tests.support.engine import docker, docker_env, record

KEY = "sentinel/key+in=file"
# Runs inside the container, whose network has no way in or out.
ASK = """
import json, sys, urllib.request
method, path, body = sys.argv[1:4]
request = urllib.request.Request("http://127.0.0.1:6333" + path, body.encode() or None, method=method)
request.add_header("api-key", sys.stdin.read())
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """Built from this checkout; what set-up built before makes it a matter of a second."""
    found, tag = record(), "cortex-ops/qdrant-standin:test"
    bundle = found.get("ca_bundle")
    secret = ["--secret", f"id=ca_bundle,src={bundle}"] if bundle and Path(bundle).is_file() else []
    docker("buildx", "build", "-q", "--load", "--provenance=false", *secret, "-t", tag, str(SOURCE), deadline=280)
    yield tag
    docker("rmi", tag, check=False)


@contextlib.contextmanager
def served(image: str) -> Iterator[str]:
    name = f"t{secrets.token_hex(4)}-qdrant"
    config = f"service:\n  api_key: {json.dumps(KEY)}\n"
    docker("volume", "create", f"{name}-data")
    docker("volume", "create", f"{name}-secrets")
    try:
        fill = "cat > /s/qdrant.yaml && chown -R 1000:1000 /s && chmod 400 /s/qdrant.yaml"
        _piped(config, "run", "--rm", "-i", "--user", "0:0", "-v", f"{name}-secrets:/s", image, "bash", "-c", fill)
        docker(
            *("run", "--detach", "--name", name, "--user", "1000:1000", "--network", "none", "--pull", "never"),
            *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--memory", "512m", "-v", f"{name}-data:/qdrant/storage", "-v", f"{name}-secrets:/run/secrets:ro"),
            *("--env", "QDRANT__STORAGE__SNAPSHOTS_PATH=/qdrant/storage/snapshots"),
            *(image, "./qdrant", "--config-path", "/run/secrets/qdrant.yaml"),
        )
        wait_healthy(name)
        yield name
    finally:
        docker("rm", "-f", name, check=False)
        docker("volume", "rm", f"{name}-data", f"{name}-secrets", check=False)


def _piped(text: str, *args: str) -> str:
    command = [record()["docker"], *args]
    done = subprocess.run(
        command, input=text, env=docker_env(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(name: str, method: str, path: str, body: object = None) -> dict[str, object]:
    text = "" if body is None else json.dumps(body)
    answer = json.loads(_piped(KEY, "exec", "-i", name, "python3", "-c", ASK, method, path, text))
    assert isinstance(answer, dict)
    return answer


def wait_healthy(name: str) -> None:
    """The stack's own health check."""
    until = time.monotonic() + 40
    while time.monotonic() < until:
        command = [record()["docker"], "exec", name, "bash", "-c", ": >/dev/tcp/127.0.0.1/6333"]
        if subprocess.run(command, env=docker_env(), capture_output=True, check=False, timeout=20).returncode == 0:
            return
        time.sleep(0.2)
    raise AssertionError(f"the stand-in did not become healthy: {docker('logs', name, check=False)}")


def test_the_image_serves_hardened_keeps_its_data_and_ends_in_order(image: str) -> None:
    about = json.loads(docker("image", "inspect", image))[0]["Config"]
    assert about["Labels"]["org.cortex-ops.stand-in"] == "qdrant" and about["User"] == "1000:1000"
    with served(image) as name:
        assert "stand-in" in str(ask(name, "GET", "/")["title"])
        ask(name, "PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        ask(name, "PUT", "/collections/c/points?wait=true", {"points": [{"id": 1, "vector": [1, 2]}]})
        made = ask(name, "POST", "/collections/c/snapshots")["result"]
        assert isinstance(made, dict)
        docker("stop", "--time", "20", name)
        assert docker("inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", name) == "0 false"
        docker("start", name)
        wait_healthy(name)
        location = f"file:///qdrant/storage/snapshots/c/{made['name']}"
        assert ask(name, "PUT", "/collections/copy/snapshots/recover", {"location": location})["result"] is True
        for collection in ("c", "copy"):
            point = ask(name, "GET", f"/collections/{collection}/points/1")["result"]
            assert isinstance(point, dict) and point["vector"] == [1.0, 2.0]
        assert KEY not in docker("logs", name) + docker("inspect", name)
