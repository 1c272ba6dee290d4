"""Rendered files work with nothing but Docker Compose: what their README says is typed here, in its order."""

from __future__ import annotations

import hashlib
import json
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cortex_ops.render.kubernetes.strict import findings
from tests.support.engine import ROOT, docker, docker_env, record
from tests.support.registry import forget, registry
from tests.support.tiny import Tiny, free_port, tiny_project


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny_project(tmp_path_factory.mktemp("hand")) as project:
        project.stack({"environments": {"dev": {"mode": "development"}}})
        project.answer("by hand")
        yield project
        project.remove()
        assert project.name not in docker("volume", "ls", "-q") + docker("network", "ls", "--format", "{{.Name}}")


def ops(tiny: Tiny, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "cortex_ops.cli.main", *args]
    return subprocess.run(
        argv, cwd=tiny.root, env=tiny.environ(), capture_output=True, text=True, timeout=180, check=False
    )


def typed(readme: Path) -> list[list[str]]:
    """The command lines of the README, in order."""
    return [shlex.split(line) for line in readme.read_text().splitlines() if line.startswith("    ")]


def test_compose_reads_the_samples_development_file_with_each_of_its_profiles(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "cortex_ops.cli.main", "render", "-e", "dev", "-o", str(tmp_path / "dev")]
    subprocess.run(argv, cwd=ROOT, capture_output=True, check=True)
    compose = ("compose", "-f", str(tmp_path / "dev" / "compose.yaml"))
    plain = docker(*compose, "config", "--services").split()
    more = docker(*compose, "--profile", "ollama", "config", "--services").split()
    assert "model-gateway" in plain and set(more) - set(plain) == {"ollama"}


AS_WRITTEN = {
    "ACCEPT_EULA": "Y",
    "COMMIT": "1234567e8",
    "MODE": "0o17",
    "NUMBER": "0899123",
    "PORTS": "9022:22",
    "FLAG": "on",
    "NOTHING": "~",
    "EMPTY": "",
    "MONEY": "a $5 note, $HOME, $$, ${",
    "MARKS": "'quo\"te' # no comment: {a} [b] \\x41 %s @ `c`",
    "SPACES": "  two before, a tab\tand one after ",
    "LETTERS": "schlüssel-鍵-🔑",
    "DATE": "2026-01-01",
}


@pytest.mark.parametrize("env", ["local", "dev"])
def test_compose_reads_every_value_as_it_was_written(tiny: Tiny, env: str) -> None:
    tiny.stack({"services": {"api": {"env": AS_WRITTEN}}})
    out = tiny.root / f"values-{env}"
    done = ops(tiny, "render", "-e", env, "-o", str(out))
    assert done.returncode == 0, done.stderr
    (file,) = [f for f in sorted(out.rglob("compose.yaml")) if f.parent.name in ("release", out.name)][:1]
    read = json.loads(docker("compose", "-p", "x", "-f", str(file), "config", "--format", "json"))
    (service,) = [s for name, s in read["services"].items() if name.startswith("api")]
    found = {key: value.replace("$$", "$") for key, value in service["environment"].items()}  # `config` escapes again
    assert {key: found[key] for key in AS_WRITTEN} == AS_WRITTEN
    assert all(str(port["published"]).isdigit() for port in service.get("ports", []))


@pytest.mark.parametrize(("env", "files"), [("local", 4), ("dev", 1)])
def test_compose_reads_every_rendered_file_without_a_warning(tiny: Tiny, env: str, files: int) -> None:
    out = tiny.root / f"files-{env}"
    done = ops(tiny, "render", "-e", env, "-o", str(out))
    assert done.returncode == 0, done.stderr
    found = sorted(out.rglob("compose.yaml"))
    assert len(found) == files
    for file in found:
        argv = [record()["docker"], "compose", "-p", "x", "-f", str(file), "config", "--quiet"]
        read = subprocess.run(argv, env=docker_env(), capture_output=True, text=True, check=False)
        assert (read.returncode, read.stdout + read.stderr) == (0, ""), file


def test_manifests_name_images_of_the_registry_and_kubectl_finds_nothing_else_in_their_folder(tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as host, tiny_project(tmp_path / "tiny", postgres=True) as tiny:
        out = tiny.root / "manifests"
        local = ops(tiny, "render", "-e", "local", "--kind", "kubernetes", "-o", str(out))
        assert local.returncode == 2 and "its images are only in a local engine" in local.stderr
        tiny.settings_env = {"CORTEX_OPS_REGISTRY": f"{host}/team"}
        for _ in range(2):  # the second time over itself
            done = ops(tiny, "render", "-e", "local", "--kind", "kubernetes", "-o", str(out))
            assert done.returncode == 0, done.stderr
        names = sorted(path.name for path in out.iterdir())
        read = [name for name in names if name.endswith((".json", ".yaml", ".yml"))]  # as kubectl reads a folder
        assert read == ["00-namespace.yaml", "10-policies.yaml", "11-jobs.yaml", "30-postgres.yaml", "40-api.yaml"]
        documents = [one for name in read for one in yaml.safe_load_all((out / name).read_text())]
        assert {one["metadata"]["name"]: findings(one) for one in documents if findings(one)} == {}
        (pod,) = [one["spec"]["template"]["spec"] for one in documents if one["kind"] == "Deployment"]
        assert pod["containers"][0]["image"].startswith(f"{host}/team/api@sha256:")
        typed_secrets = [line for line in (out / "README.md").read_text().splitlines() if "create secret" in line]
        assert len(typed_secrets) == 1 and "--from-file=postgres-password=FILE" in typed_secrets[0]
        forget(host)


def test_what_the_readme_says_brings_the_system_up_and_down_again(tiny: Tiny) -> None:
    out = tiny.root / "files"
    assert ops(tiny, "render", "-e", "local", "-o", str(out)).returncode == 0
    done = []
    for words in typed(out / "README.md"):
        if words[0] == "cortex-ops":
            said = ops(tiny, *words[1:])
            assert said.returncode == 0, said.stderr
        elif words[:2] == ["docker", "compose"] and "-p" not in words:
            docker("compose", "-f", str(out / "compose.yaml"), *words[2:])
        elif words[1] == "run":
            docker(*words[1:])
            assert tiny.get() == "by hand"
        else:
            continue  # the parts one by one, and jobs by name: another way to the same
        done.append(words[1])
    assert done == ["secrets", "compose", "run", "compose"]
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={tiny.prefix}") == ""
    assert docker("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={tiny.prefix}") == ""


def test_the_development_file_builds_and_starts_what_asks_for_optional_and_exposed_things(tiny: Tiny) -> None:
    port = free_port()
    api = {"secrets": {"KEY": "key"}, "exposure": {"KEY": "env"}, "command": ["node", "server.mjs"]}
    never = {"path": "api", "build": {"dockerfile": "api/Dockerfile"}, "port": "9000", "optional": True}
    change = {
        "services": {"api": {**api, "calls": ["extra"]}, "extra": never},
        "secrets": {"key": {"from": "env", "variable": "KEY"}},
        "environments": {"dev": {"ports": {"api": str(port)}}},
    }
    tiny.stack(change)
    out = tiny.root / "development"
    assert ops(tiny, "render", "-e", "dev", "-o", str(out)).returncode == 0
    compose = ("compose", "-f", str(out / "compose.yaml"))
    try:
        docker(*compose, "up", "--build", "--wait", "--wait-timeout", "60")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/digest/KEY", timeout=5) as answer:
            assert answer.read().decode() == hashlib.sha256(b"development-only").hexdigest()
        assert docker(*compose, "ps", "--services") == "api"
    finally:
        docker(*compose, "down", "--rmi", "local", "--volumes")
        gone = dict.fromkeys((*api, "calls"))
        tiny.stack({"services": {"api": gone, "extra": None}, "secrets": None})


def test_files_that_somebody_else_put_there_are_not_overwritten(tiny: Tiny) -> None:
    out = tiny.root / "files-of-others"
    out.mkdir()
    (out / "compose.yaml").write_text("services: {}\n")
    done = ops(tiny, "render", "-e", "dev", "-o", str(out))
    assert (done.returncode, done.stdout) == (2, "") and str(out) in done.stderr
    assert (out / "compose.yaml").read_text() == "services: {}\n"
