"""Images pushed to and taken from real registries: one that asks for a login, one whose authority is private."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from cortex_ops import pipeline
from cortex_ops.kernel.errors import OpsError
from tests.support.beside import beside
from tests.support.engine import ROOT, docker, docker_env, record
from tests.support.processes import argument_vectors
from tests.support.registry import BASE_IMAGES, PASSWORD, USER, Authority, forget, push_as_user, registry
from tests.support.tiny import Tiny, tiny_project

FORMS = [
    PASSWORD.encode(),
    base64.b64encode(PASSWORD.encode()).rstrip(b"="),
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).rstrip(b"="),
]


@pytest.fixture
def private(tmp_path: Path) -> Iterator[tuple[Tiny, str]]:
    """A system whose images go to a registry that asks for a login; nobody is logged in."""
    with registry(tmp_path / "registry", login=True) as host, tiny_project(tmp_path / "tiny") as tiny:
        tiny.settings_env = {"CORTEX_OPS_REGISTRY": f"{host}/team", "DOCKER_CONFIG": str(tmp_path / "nobody")}
        try:
            yield tiny, host
        finally:
            forget(host)


def give_login(monkeypatch: pytest.MonkeyPatch, password: str = PASSWORD) -> dict[str, str]:
    login = {"CORTEX_OPS_REGISTRY_USER": USER, "CORTEX_OPS_REGISTRY_PASSWORD": password}
    for name, value in login.items():
        monkeypatch.setenv(name, value)
    return login


def test_images_are_pushed_and_pulled_by_digest_with_a_login_that_nothing_keeps(
    private: tuple[Tiny, str], tmp_path: Path
) -> None:
    tiny, host = private
    base = push_as_user(host, local_base(), "bases/node:24", tmp_path)
    dockerfile = (tiny.monorepo / "api" / "Dockerfile").read_text()
    tiny.write("api/Dockerfile", dockerfile.replace("node:24-bookworm-slim", base))
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD + "\n")
    tiny.settings_env |= {"CORTEX_OPS_REGISTRY_USER": USER, "CORTEX_OPS_REGISTRY_PASSWORD_FILE": str(password_file)}
    with watched(tmp_path / "theirs") as seen:
        done = tiny.job("release", variables={"TMPDIR": str(tmp_path / "theirs")})
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("dagster job execute", "buildx bake", "--password-stdin"):
        assert any(words in one for one in seen.commands), f"the watch works: {words}"
    live = tiny.wire().history("local").live()
    assert live is not None
    ref = live.intent.lock.images["api"]
    assert ref.reference().startswith(f"{host}/team/api@sha256:")
    (name,) = tiny.containers(role="service", release=f"r{live.seq}")
    assert docker("inspect", "-f", "{{.Config.Image}}", name) == ref.reference()
    assert (tiny.root / ".cortex" / "bases-found.json").read_text().count(base) == 1, "the private base is pinned"

    seen.files |= {str(p): p.read_bytes() for p in tiny.root.rglob("*") if p.is_file() and not p.is_symlink()}
    seen.files |= {"output": (done.stdout + done.stderr).encode()} | image_files(ref.reference(), tmp_path)
    for where, data in seen.files.items():
        assert not any(form in data for form in FORMS), where
    for command in seen.commands:
        assert not any(form.decode() in command for form in FORMS), command
    logins = [path for path in seen.files if "cortex-ops-login-" in path]
    assert logins and not [path for path in logins if Path(path).exists()]


def test_upkeep_removes_the_engines_copies_that_nothing_needs_and_leaves_the_registry_alone(
    private: tuple[Tiny, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, _ = private
    give_login(monkeypatch)
    tiny.stack({"retention": {"releases": 1, "unused": "1s"}})
    references = {}
    for text in ("first", "live"):
        tiny.answer(text)
        step = tiny.release()
        assert step.ok and step.record is not None
        references[text] = step.record.intent.lock.images["api"].reference()
    for text in ("a", "b", "c"):
        tiny.answer(text)
        references[text] = next(i.reference for i in pipeline.build(tiny.wire(), "local").images if i.name == "api")
    time.sleep(1.1)
    done = pipeline.upkeep(tiny.wire(), "local")
    assert done.problems == () and tiny.get() == "live"
    there = {
        text for text, one in references.items() if docker("image", "inspect", "-f", "{{.Id}}", one, check=False)
    }
    assert there == {"live", "b", "c"}
    assert sum(references["first"] in line for line in done.removed) == 1
    assert pipeline.rollback(tiny.wire(), "local").ok and tiny.get() == "first", "it is pulled again"


def test_an_image_that_the_engine_lost_is_pulled_with_the_login(
    private: tuple[Tiny, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, host = private
    give_login(monkeypatch)
    w = tiny.wire()
    reference = next(one.reference for one in pipeline.build(w, "local").images if one.name == "api")
    forget(host)
    assert docker("image", "inspect", reference, check=False) in ("", "[]")
    pipeline.render(w, "local")
    pipeline.rollout(w, "local")
    pipeline.integration_tests(w, "local")
    assert pipeline.release(w, "local").ok
    again = pipeline.build(tiny.wire(), "local")
    assert not any(image.built for image in again.images), "what is in the registry is not built again"


def test_a_wrong_password_and_none_are_one_sentence_each_and_nothing_is_recorded(
    private: tuple[Tiny, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny, host = private
    give_login(monkeypatch, "wrong-sentinel-5521")
    with pytest.raises(OpsError, match=f"^the registry {host} refuses the login of {USER}") as caught:
        pipeline.build(tiny.wire(), "local")
    assert "wrong-sentinel" not in "\n".join(caught.value.lines())
    assert caught.value.remedy == "correct CORTEX_OPS_REGISTRY_USER and CORTEX_OPS_REGISTRY_PASSWORD"
    monkeypatch.delenv("CORTEX_OPS_REGISTRY_PASSWORD")
    with pytest.raises(OpsError, match="CORTEX_OPS_REGISTRY_PASSWORD is not set, and a login needs both"):
        pipeline.build(tiny.wire(), "local")
    monkeypatch.delenv("CORTEX_OPS_REGISTRY_USER")
    with pytest.raises(OpsError, match=f"^the registry {host} asks for a login that may") as caught:
        pipeline.build(tiny.wire(), "local")
    assert f"docker login {host}" in caught.value.remedy
    assert tiny.wire().store.list("builds/") == []


def test_a_login_that_ci_left_in_the_persons_configuration_is_used_and_not_copied(
    private: tuple[Tiny, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny, host = private
    theirs = tmp_path / "theirs"
    env = {**docker_env(), "DOCKER_CONFIG": str(theirs)}
    login = [record()["docker"], "login", "-u", USER, "--password-stdin", host]
    subprocess.run(login, env=env, input=PASSWORD.encode(), check=True, capture_output=True)
    monkeypatch.setenv("DOCKER_CONFIG", str(theirs))
    tiny.settings_env["DOCKER_CONFIG"] = str(theirs)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "ours"))
    with watched(tmp_path / "ours") as seen:
        assert all(image.built for image in pipeline.build(tiny.wire(), "local").images)
    assert any("docker-credential-cortex-ops" in where for where in seen.files)
    assert not any(form in data for data in seen.files.values() for form in FORMS)


def test_a_certificate_of_an_authority_that_nobody_knows_is_one_sentence_from_the_lookup_and_from_the_engine(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "ca")
    with (
        registry(tmp_path / "mirror", tls=authority, root=BASE_IMAGES) as mirror,
        tiny_project(tmp_path / "tiny") as tiny,
    ):
        (tiny.root / ".cortex" / "bases.json").unlink()
        tiny.settings_env = {"CORTEX_OPS_MIRROR": mirror}
        dockerfile = (tiny.monorepo / "api" / "Dockerfile").read_text()
        tiny.write("api/Dockerfile", "FROM not-in-the-engine:1\n")
        with pytest.raises(OpsError, match=f"the certificate of registry {mirror} is not trusted: .*x509") as caught:
            pipeline.build(tiny.wire(), "local")
        assert "named at api/Dockerfile:1" in caught.value.message and "CORTEX_OPS_CA_BUNDLE" in caught.value.remedy
        tiny.write("api/Dockerfile", dockerfile)
        # The lookup trusts it now, and the engine, which pushes, does not.
        tiny.settings_env = {"CORTEX_OPS_REGISTRY": f"{mirror}/team", "CORTEX_OPS_CA_BUNDLE": str(authority.bundle)}
        with pytest.raises(OpsError, match=f"^the certificate of registry {mirror} is not trusted: x509") as caught:
            pipeline.build(tiny.wire(), "local")
        assert f"/etc/docker/certs.d/{mirror}/ca.crt" in caught.value.remedy
        assert tiny.wire().store.list("builds/") == []


def test_a_mirror_and_a_registry_of_a_private_authority_work_with_its_bundle(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    with (
        registry(tmp_path / "mirror", tls=authority, root=BASE_IMAGES) as mirror,
        registry(tmp_path / "registry", tls=authority) as host,
        authority.trusted_by_the_engine(mirror),
        authority.trusted_by_the_engine(host),
        tiny_project(tmp_path / "tiny") as tiny,
    ):
        (tiny.root / ".cortex" / "bases.json").unlink()
        tiny.settings_env = {
            "CORTEX_OPS_MIRROR": mirror,
            "CORTEX_OPS_REGISTRY": f"{host}/team",
            "CORTEX_OPS_CA_BUNDLE": str(authority.bundle),
        }
        try:
            assert tiny.release().ok
        finally:
            forget(host)
        live = tiny.wire().history("local").live()
        assert live is not None and live.intent.lock.images["api"].repository == f"{host}/team/api"
        pinned = json.loads((tiny.root / ".cortex" / "bases-found.json").read_text())
        recorded = json.loads((ROOT / ".cortex" / "bases.json").read_text())
        assert pinned["node:24-bookworm-slim"] == recorded["node:24-bookworm-slim"]


def local_base() -> str:
    """The Node base as the engine can push it."""
    mirror, digest = (
        record()["mirror"],
        json.loads((ROOT / ".cortex" / "bases.json").read_text())["node:24-bookworm-slim"],
    )
    reference = f"{mirror}/library/node@{digest}"
    docker("pull", "-q", reference)
    return reference


class Seen:
    """What other processes could have read while something ran."""

    def __init__(self) -> None:
        self.commands: set[str] = set()
        self.files: dict[str, bytes] = {}


@contextmanager
def watched(temporary: Path) -> Iterator[Seen]:
    """Command lines of all processes, and files of logins and builds in progress in this folder for temporary files,
    looked at all the time."""
    temporary.mkdir()
    seen = Seen()

    def look() -> None:
        seen.commands |= {raw.replace(b"\0", b" ").decode(errors="replace") for raw in argument_vectors()}
        for where, _, names in os.walk(temporary):  # which passes over a folder that is removed meanwhile
            for path in (Path(where, name) for name in names):
                with contextlib.suppress(OSError):
                    seen.files[f"{path}"] = seen.files.get(f"{path}", b"") + path.read_bytes()

    with beside(look, 0.02):
        yield seen


def image_files(reference: str, folder: Path) -> dict[str, bytes]:
    """Every blob of an image, unpacked."""
    path = folder / "image.tar"
    docker("save", "-o", str(path), reference)
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            body = archive.extractfile(member) if member.isfile() else None
            if body is None:
                continue
            data = body.read()
            if data[:2] == b"\x1f\x8b":
                data = gzip.decompress(data)
            elif data[:4] == b"\x28\xb5\x2f\xfd":
                data = zstandard.ZstdDecompressor().stream_reader(data).read()
            found[f"{reference} {member.name}"] = data
    assert any(re.search(rb"server\.mjs", data) for data in found.values()), "layers were read"
    return found
