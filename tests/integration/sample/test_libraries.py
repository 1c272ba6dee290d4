"""Every library that a service bundles is called where the service answers: broken, it fails a test of that one."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_ops.kernel.values import ImageLock
from tests.support.engine import docker_env, record
from tests.support.sample import sample_project
from tests.support.tiny import Tiny, build_images

BREAKER = Path(__file__).with_name("broken_libraries.mjs")

# The test, of each service's own, in which it does what it is for.
PATHS = {
    "cortex-os": "a task is planned and stored with the order for the agents, in the scope of its tenant",
    "api": "a task is taken for the tenant of the token, and read back with its result and how it was read",
    "cortex-web": "the tools come over MCP and the tasks from the api, in the visitor's name",
    "model-gateway": "MLX answers in the gateway's dialect, under both names of a path",
    "mcp-registry": "over MCP, the tools are listed from the cache the second time, and each does what it says",
    "agents": "what one order taught the next recalls, with tools over MCP and memory over HTTP",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with sample_project(tmp_path_factory.mktemp("libraries")) as project:
        yield project


@pytest.fixture(scope="module")
def images(project: Tiny) -> ImageLock:
    """The services' `test` stages as images."""
    stage = {"build": {"target": "test", "test_stage": ""}}
    project.stack({"services": dict.fromkeys(PATHS, stage)})
    return build_images(project.wire()).lock


@pytest.mark.parametrize("service", PATHS)
def test_breaking_a_bundled_library_fails_the_test_of_what_the_service_is_for(
    project: Tiny, images: ImageLock, service: str
) -> None:
    document = project.stack()
    bundles = document["services"][service]["bundles"]
    failed = failures(project, images, service, bundles)
    assert failed.pop("") == [], "with every library intact"
    assert sorted(failed) == sorted(bundles)
    assert {library for library, names in failed.items() if PATHS[service] not in names} == set()


def test_every_library_is_bundled_and_every_service_is_here(project: Tiny) -> None:
    document = project.stack()
    bundled = {library for service in document["services"].values() for library in service["bundles"]}
    assert bundled == set(document["libraries"])
    assert set(PATHS) == set(document["services"])


def failures(project: Tiny, images: ImageLock, service: str, libraries: list[str]) -> dict[str, list[str]]:
    """Library → the service's tests that fail while it is broken; `""`: while none is."""
    document = project.stack()
    pairs = [f"{name}={document['libraries'][name]['path']}" for name in libraries]
    argv = ["run", "--rm", "-i", "--network", "none", "--user", "0", images.images[service].reference()]
    argv += ["node", "--input-type=module", "-", document["services"][service]["path"], *pairs]
    done = subprocess.run(
        [record()["docker"], *argv],
        env=docker_env(),
        input=BREAKER.read_text(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))
