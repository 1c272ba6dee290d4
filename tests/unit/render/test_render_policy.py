"""Each rule of what may run is broken once, in a rendering that keeps all the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_ops.kernel.values import ImageLock, ImageRef, Placement
from cortex_ops.render.compose import RenderInputs, render_compose
from cortex_ops.render.compose.policy import judge
from cortex_ops.secrets.delivery import consumers
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import load_stack

FILE = Path(__file__).resolve().parents[3] / "deploy" / "stack.yaml"
Service = dict[str, Any]


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    stack = load_stack(FILE)
    names = [*stack.services, *stack.stores, "edge", "integration-tests"]
    image = f"sha256:{'0123456789abcdef' * 4}"
    refs = {n: ImageRef(fingerprint=n, image_id=image, engine_id="e", user="1000:1000") for n in names}
    inputs = RenderInputs(
        stack=stack,
        environment=resolve(stack, "local"),
        lock=ImageLock(source_revision="r", source_dirty=False, images=refs),
        secret_versions=dict.fromkeys(consumers(stack), "0123456789ab"),
    )
    return render_compose(inputs, Placement(seq=3, slot="a")).files


def changed(files: dict[str, str], part: str, change: Callable[[dict[str, Any]], object]) -> list[str]:
    name = f"{part}/compose.yaml"
    document = yaml.safe_load(files[name])
    change(document)
    return judge({**files, name: yaml.safe_dump(document)})


def test_what_is_rendered_for_the_sample_may_run(files: dict[str, str]) -> None:
    assert judge(files) == []


BROKEN: dict[str, tuple[Service, str]] = {
    "a tag": ({"image": "cortex/api:latest"}, "its image 'cortex/api:latest' is not pinned by content"),
    "a short digest": ({"image": "sha256:0123"}, "is not pinned by content"),
    "root": ({"user": "0:0"}, "it runs as 0, not as a numeric user"),
    "a user by name": ({"user": "node"}, "it runs as node, not as a numeric user"),
    "no user": ({"user": ""}, "it runs as whatever its image says"),
    "a writable root": ({"read_only": False}, "its root file system is writable"),
    "a capability": ({"cap_add": ["NET_ADMIN"]}, "it keeps capabilities"),
    "all capabilities": ({"cap_drop": []}, "it keeps capabilities"),
    "new privileges": ({"security_opt": ["seccomp=builtin"]}, "it may gain privileges"),
    "no seccomp": ({"security_opt": ["no-new-privileges:true", "seccomp=unconfined"]}, "it runs unconfined"),
    "privileged": ({"privileged": True}, "it has the host's devices"),
    "the host's network": ({"network_mode": "host"}, "it shares the host's network"),
    "the host's processes": ({"pid": "host"}, "it shares the host's pid"),
    "no memory limit": ({"mem_limit": "0"}, "it has no mem_limit"),
    "no process limit": ({"pids_limit": 0}, "it has no pids_limit"),
    "the engine's socket": (
        {"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"}]},
        "it mounts /var/run/docker.sock of the host",
    ),
    "a folder of the host": ({"volumes": ["./data:/data"]}, "it mounts ./data:/data of the host"),
    "a port": ({"ports": ["8080:8080"]}, "it publishes ports"),
    "a password": ({"environment": {"DB_PASSWORD": "hunter2"}}, "its variable DB_PASSWORD holds a secret in plain"),
    "a url with a password": (
        {"environment": {"DATABASE_URL": "postgresql://me:hunter2@db/x"}},
        "its variable DATABASE_URL holds a secret in plain",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_may_not_run_with(files: dict[str, str], what: str) -> None:
    change, sentence = BROKEN[what]
    found = changed(files, "release", lambda document: document["services"]["api-r3"].update(change))
    assert len(found) == 1
    assert found[0].startswith("api-r3: ") and sentence in found[0]
    assert "hunter2" not in found[0]


def test_a_network_of_the_stores_that_reaches_out_is_named(files: dict[str, str]) -> None:
    found = changed(files, "stores", lambda document: document["networks"].update({"outside": {}}))
    assert found == ["network outside of stores is not internal"]
