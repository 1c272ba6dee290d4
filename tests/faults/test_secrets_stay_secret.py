"""Sentinel secrets are looked for wherever a run leaves something, in several encodings, and are found nowhere."""

from __future__ import annotations

import hashlib
import os
import secrets as tokens
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from cortex_ops.backup.keys import ensure_keys
from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.redact import encodings
from tests.support.beside import beside
from tests.support.engine import docker, docker_env, record
from tests.support.processes import argument_vectors
from tests.support.s3 import a_client, objects, s3_server
from tests.support.tiny import Tiny, tiny_project


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """Its Postgres takes a password from a file, its service one from the environment, its build a token."""
    with (
        tiny_project(tmp_path_factory.mktemp("secrets"), postgres=True) as project,
        pytest.MonkeyPatch.context() as env,
    ):
        (project.root / "secrets" / "legacy-password").write_text(f"sentinel {tokens.token_hex(12)} 'of' \"two\"\n")
        env.setenv("TINY_BUILD_TOKEN", f"sentinel-{tokens.token_hex(12)}")
        api = {
            "secrets": {"LEGACY_PASSWORD": "legacy-password"},
            "exposure": {"LEGACY_PASSWORD": "env"},
            "command": ["node", "server.mjs"],
            "build": {"secrets": {"build-token": "build-token"}},
        }
        declared = {
            "legacy-password": {"from": "file"},
            "build-token": {"from": "env", "variable": "TINY_BUILD_TOKEN"},
        }
        project.stack({"services": {"api": api}, "secrets": declared})
        wanted = hashlib.sha256(os.environ["TINY_BUILD_TOKEN"].encode()).hexdigest()
        step = f"RUN --mount=type=secret,id=build-token sha256sum </run/secrets/build-token | grep -q {wanted}\n"
        dockerfile = (project.monorepo / "api" / "Dockerfile").read_text()
        project.write("api/Dockerfile", dockerfile.replace("COPY api/ ./\n", f"COPY api/ ./\n{step}"))
        yield project


@contextmanager
def watched_arguments() -> Iterator[set[bytes]]:
    """Every argument vector that some process has while the block runs."""
    seen: set[bytes] = set()
    with beside(lambda: seen.update(argument_vectors()), 0.02):
        yield seen


def traces(tiny: Tiny, console: str, arguments: set[bytes]) -> Iterator[tuple[str, bytes]]:
    """Everything that a run leaves, but for the secret files themselves and the engine's secret volumes."""
    yield "the console", console.encode()
    yield "argument vectors", b"\0".join(arguments)
    for path in tiny.root.rglob("*"):
        inside = path.relative_to(tiny.root).parts
        if path.is_file() and inside[0] != "secrets" and ".git" not in inside:
            yield f"the file {path.relative_to(tiny.root)}", path.read_bytes()
    for name in tiny.containers():
        yield f"docker inspect {name}", docker("inspect", name).encode()
        yield f"docker logs {name}", docker("logs", name, check=False).encode()
    ids = docker("image", "ls", "-q", "--filter", "label=org.cortex-ops.service=api").split()
    yield "docker history", "".join(docker("history", "--no-trunc", i) for i in set(ids[:2])).encode()
    yield from layers(ids[0])


def layers(image: str) -> Iterator[tuple[str, bytes]]:
    with subprocess.Popen(
        [record()["docker"], "image", "save", image], env=docker_env(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                body = archive.extractfile(member) if member.isfile() and member.size < 2_000_000 else None
                if body is not None:
                    yield f"a blob of the image, {member.name}", body.read()
        process.stdout.read()


def forms_of(sentinel: str) -> list[bytes]:
    """Plain, base64 at each alignment, percent-encoded, as JSON."""
    forms = [form.encode() for form in encodings(sentinel.encode())]
    assert len(forms) >= 4
    return forms


def assert_nowhere(tiny: Tiny, sentinels: dict[str, str], console: str, arguments: set[bytes]) -> None:
    forms = {name: forms_of(value) for name, value in sentinels.items()}
    places = 0
    for place, content in traces(tiny, console, arguments):
        places += 1
        for name, found in forms.items():
            assert not any(form in content for form in found), f"the secret {name} is in {place}"
    assert places > 20


def sentinel_of(tiny: Tiny, name: str = "postgres-password") -> str:
    return (tiny.root / "secrets" / name).read_text().strip()


def sentinels(tiny: Tiny) -> dict[str, str]:
    return {
        "of a file": sentinel_of(tiny),
        "in the environment": sentinel_of(tiny, "legacy-password"),
        "of the build": os.environ["TINY_BUILD_TOKEN"],
    }


@pytest.mark.parametrize("outcome", ["promoted", "rejected", "crashed"])
def test_no_secret_is_anywhere_after_a_release_that_was(tiny: Tiny, outcome: str) -> None:
    modes = {"promoted": ("ok", "anything"), "rejected": ("ok", "something else"), "crashed": ("crash", "anything")}
    mode, expected = modes[outcome]
    tiny.answer(outcome, mode=mode, expected=expected)
    with watched_arguments() as arguments:
        done = tiny.job("release")
    assert (done.returncode == 0) == (outcome == "promoted"), done.stderr
    assert_nowhere(tiny, sentinels(tiny), done.stdout + done.stderr, arguments)


def test_an_exposed_secret_is_in_the_environment_of_the_program_exactly(tiny: Tiny) -> None:
    tiny.answer("exposed")
    assert tiny.release().ok
    wanted = hashlib.sha256(sentinel_of(tiny, "legacy-password").encode()).hexdigest()
    assert tiny.get("/digest/LEGACY_PASSWORD") == wanted
    assert tiny.release().noop, "what starts it reads back as rendered"


def test_a_build_without_its_secret_is_refused_with_the_name_of_the_variable(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.answer("without a token")
    monkeypatch.delenv("TINY_BUILD_TOKEN")
    with pytest.raises(InputError, match=r"the build of api needs its secret build-token in .* TINY_BUILD_TOKEN"):
        tiny.release()


def test_the_database_password_and_the_age_identity_are_nowhere_after_a_backup_and_its_drill(tiny: Tiny) -> None:
    tiny.answer("backed up")
    assert tiny.release().ok
    with watched_arguments() as arguments:
        backup, drill = tiny.job("backup"), tiny.job("restore_drill")
    assert (backup.returncode, drill.returncode) == (0, 0), backup.stderr + drill.stderr
    console = backup.stdout + backup.stderr + drill.stdout + drill.stderr
    assert_nowhere(tiny, sentinels(tiny), console, arguments)
    keys = tiny.root / ".cortex" / "keys"
    identities = [p for p in keys.rglob("*") if p.is_file() and b"AGE-SECRET-KEY" in p.read_bytes()]
    assert identities, "the drill decrypts with an identity of its own"
    for path in identities:
        line = next(x for x in path.read_text().splitlines() if x.startswith("AGE-SECRET-KEY"))
        for place, content in traces(tiny, console, arguments):
            assert line.encode() not in content or ".cortex/keys" in place, f"the identity is in {place}"


@dataclass
class OnS3:
    """A released system whose store is a bucket, and what was said while it was used: console and arguments."""

    tiny: Tiny
    client: Any
    variables: dict[str, str]
    console: str = ""
    arguments: set[bytes] = field(default_factory=set)

    def job(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        with watched_arguments() as arguments:
            done = self.tiny.job(name, variables={**self.variables, **variables})
        self.console += done.stdout + done.stderr
        self.arguments |= arguments
        return done

    def assert_nowhere(self, *more: str) -> None:
        """The credentials, and what a run may have been given in their place."""
        sentinels = {name: self.variables[name] for name in CREDENTIALS} | {text: text for text in more}
        assert_nowhere(self.tiny, sentinels, self.console, self.arguments)
        stored = list(objects(self.client, "sets"))
        assert stored
        for form in (form for sentinel in sentinels.values() for form in forms_of(sentinel)):
            assert not [key for key, body in stored if form in key.encode() or form in body]


CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@pytest.fixture(scope="module")
def on_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnS3]:
    with tiny_project(tmp_path_factory.mktemp("s3"), postgres=True) as tiny, s3_server() as endpoint:
        client = a_client(endpoint)
        client.create_bucket(Bucket="sets")
        sentinels = {name: f"{name[4:10]}/{tokens.token_hex(12)}+x%" for name in CREDENTIALS}
        where = {"CORTEX_OPS_STORE": "s3://sets/tiny", "CORTEX_OPS_S3_ENDPOINT": endpoint}
        found = OnS3(tiny, client, {**where, "CORTEX_OPS_S3_PATH_STYLE": "true", **sentinels})
        ensure_keys(tiny.settings())
        assert found.job("release").returncode == 0, found.console
        yield found


def test_the_stores_credentials_are_nowhere_after_a_release_a_backup_and_its_drill(on_s3: OnS3) -> None:
    for name in ("backup", "restore_drill"):
        assert on_s3.job(name).returncode == 0, on_s3.console
    kept = [key for key, _ in objects(on_s3.client, "sets")]
    assert any("/manifest.json" in key for key in kept) and any("/proof-" in key for key in kept), "it was used"
    on_s3.assert_nowhere()


BROKEN = "broken/token\nwith a line break+%"


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"CORTEX_OPS_STORE": "s3://absent/tiny"}, "NoSuchBucket"),
        ({"CORTEX_OPS_S3_ENDPOINT": "http://127.0.0.1:1"}, "does not answer"),
        ({"AWS_SESSION_TOKEN": BROKEN}, "AWS_SESSION_TOKEN holds a line break"),
    ],
    ids=["no bucket", "no server", "a line break in a credential"],
)
def test_the_stores_credentials_are_nowhere_after_a_backup_that_failed(
    on_s3: OnS3, changes: dict[str, str], cause: str
) -> None:
    done = on_s3.job("backup", **changes)
    assert done.returncode != 0
    assert any(cause in line for line in done.stderr.splitlines()[-5:]), done.stderr
    on_s3.assert_nowhere(*BROKEN.split("\n"))


def test_the_search_itself_finds_a_planted_secret(tiny: Tiny) -> None:
    sentinel = sentinel_of(tiny)
    planted = tiny.root / ".cortex" / "logs" / "planted.log"
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_text(f"password={sentinel}")
    try:
        with pytest.raises(AssertionError, match="planted"):
            assert_nowhere(tiny, {"planted": sentinel}, "", set())
    finally:
        planted.unlink()
