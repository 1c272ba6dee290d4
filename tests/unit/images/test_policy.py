"""What makes an image unfit to run, on archives made here as `docker image save` makes them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import zstandard

from cortex_ops.adapters import engine_images
from cortex_ops.images import policy
from cortex_ops.images.layers import Archive
from cortex_ops.images.policy import (
    argument_findings,
    config_findings,
    content_findings,
    size_findings,
    user_findings,
)
from cortex_ops.images.sensitive import name_finding, text_finding, value_finding
from cortex_ops.kernel.errors import OpsError
from tests.support.archives import image, tar
from tests.support.stand_in_target import MemoryStore

KEY = b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 64 + b"\n-----END PRIVATE KEY-----\n"


def found(monkeypatch: pytest.MonkeyPatch, *layers: bytes, config: dict[str, Any] | None = None) -> list[str]:
    identity, archive = image(*layers, config=config)

    @contextmanager
    def saved(*_: object) -> Iterator[io.BytesIO]:
        yield io.BytesIO(archive)

    monkeypatch.setattr(engine_images, "saved", saved)
    return [one.message for one in content_findings(None, MemoryStore(), [identity])[identity]]  # type: ignore[arg-type]


def test_a_user_must_be_a_number_and_not_root() -> None:
    assert not user_findings("1000") and not user_findings("10100:10100")
    for user in ("", "0", "0:0", "00", "root", "root:1000"):
        assert "root" in user_findings(user)[0].message, user
    assert "is a name" in user_findings("node:node")[0].message


def test_a_budget_is_a_limit_and_none_is_none() -> None:
    assert not size_findings(10, 10) and not size_findings(10, 0)
    assert size_findings(3 * 1024**2, 2 * 1024**2)[0].message == "it has 3 MiB, more than its budget of 2 MiB"


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress, lambda b: zstandard.ZstdCompressor().compress(b)])
def test_a_secret_that_a_later_layer_deletes_is_found_however_small_its_layer(
    monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    layers = [pack(tar({"app/.env": b"X=1"})), pack(tar({"app/.wh..env": b""}))]
    assert min(len(layer) for layer in layers) < 1024 or len(layers[0]) == 10240
    assert found(monkeypatch, *layers) == ["a layer holds app/.env, which looks like a secret"]


def test_a_key_is_found_by_its_content_whatever_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, tar({"usr/src/app/notes.txt": KEY})) == [
        "a layer holds usr/src/app/notes.txt, which contains a private key"
    ]


def test_packages_tests_and_the_places_of_build_secrets_are_no_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = tar(
        {
            "usr/share/doc/x/example.key": KEY,
            "usr/local/lib/node_modules/npm/test/key.pem": KEY,
            "app/node_modules/tls/test/server.key": KEY,
            "app/packages/secrets/index.mjs": b"export const secret = 1",
            "app/.env.example": b"TOKEN=",
            "run/secrets/ca_bundle": b"",
            "app/tls.js": b'const header = "-----BEGIN PRIVATE KEY-----"',
        }
    )
    assert found(monkeypatch, layer) == []


def test_history_and_environment_are_read_from_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "config": {
            "Env": ["PATH=/bin", "DB_PASSWORD=hunter2hunter2", "TOKEN_KEY_FILE=/run/secrets/k", "TOKEN_TTL=3600"]
        },
        "history": [
            {"created_by": "RUN |1 NPM_TOKEN=abcdefgh1234 /bin/sh -c npm ci"},
            {"created_by": "RUN /bin/sh -c TOKEN=$(cat /run/secrets/t) npm ci"},
        ],
    }
    assert found(monkeypatch, tar({"a": b"1"}), config=config) == [
        "its environment sets DB_PASSWORD",
        "its history shows a value for NPM_TOKEN",
    ]
    assert list(config_findings({"config": {"digest": "sha256:1"}, "layers": []})) == []


def test_a_layer_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    identity, archive = image(tar({"app/.env": b"X=1"}))
    store = MemoryStore()

    @contextmanager
    def saved(*_: object) -> Iterator[io.BytesIO]:
        yield io.BytesIO(archive)

    monkeypatch.setattr(engine_images, "saved", saved)
    first = content_findings(None, store, [identity])  # type: ignore[arg-type]
    monkeypatch.setattr(policy, "_read_layer", lambda blob: pytest.fail("read again"))
    assert content_findings(None, store, [identity]) == first  # type: ignore[arg-type]


def test_an_archive_without_a_layer_is_not_taken_for_a_clean_one(monkeypatch: pytest.MonkeyPatch) -> None:
    identity, archive = image(tar({"app/.env": b"X=1"}))
    broken = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=broken, mode="w") as new:
        for member in old:
            body = old.extractfile(member)
            assert body is not None
            data = body.read()
            if data[:1] == b"{":
                new.addfile(member, io.BytesIO(data))
    reader = Archive()
    assert list(reader.layers(io.BytesIO(broken.getvalue()))) == []
    with pytest.raises(OpsError, match="without its layer"):
        reader.images(identity)


def test_a_broken_layer_is_one_sentence_and_no_clean_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OpsError, match="cannot be judged"):
        found(monkeypatch, gzip.compress(tar({"a": b"1" * 5000}))[:-40])


def test_build_arguments_that_look_like_secrets_are_found() -> None:
    assert not argument_findings([("NODE_VERSION", "24"), ("API_URL", "http://api")])
    assert "NPM_TOKEN" in argument_findings([("NPM_TOKEN", "abcdefgh")])[0].message


@pytest.mark.parametrize(
    "path", [".env", "app/.env.production", "root/.ssh/id_rsa", "srv/tls.key", "config/secrets/db"]
)
def test_names_that_say_secret(path: str) -> None:
    assert name_finding(path)


@pytest.mark.parametrize("path", ["usr/lib/ssl/x.key", "app/secrets/read.py", "app/key.mjs", "etc/ssl/certs/a.key"])
def test_names_that_do_not(path: str) -> None:
    assert not name_finding(path)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"aws_access_key_id = AKIAZZZZ1111ZZZZ2222", "an AWS key"),
        (b"AKIAIOSFODNN7EXAMPLE", ""),
        (b"ghp_" + b"a1" * 18, "a GitHub token"),
        (b"//packages.example/:_authToken=abcdefghijklmnop1234", "an npm token"),
        (b"//packages.example/:_authToken=${NPM_TOKEN}", ""),
        (b"AGE-SECRET-KEY-1" + b"Q" * 58, "an age identity"),
        (b"class=sk-cube-grid-and-a-long-name-of-css-things", ""),
        (b"sk-ant-" + b"a1" * 20, "an API key"),
    ],
)
def test_contents_that_are_secrets(data: bytes, what: str) -> None:
    assert text_finding("app/file", lambda limit: data[:limit]) == what


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("PASSWORD=hunter22", "PASSWORD"),
        ('RUN export DB_PASSWD="a b c d"', "DB_PASSWD"),
        ("DATABASE_URL=postgres://u:hunter22@db/x", "a URL's password"),
        ("DATABASE_URL=postgres://u:$PASSWORD@db/x", ""),
        ("RUN --mount=type=secret,id=ca_bundle,target=/run/x npm ci", ""),
        ("PASSWORD_FILE=/run/secrets/p", ""),
        ("TOKEN_URL=https://login.example/x", ""),
        ("SECRET=", ""),
        ("USE_TOKEN=true", ""),
    ],
)
def test_values_in_history_and_environment(text: str, name: str) -> None:
    assert value_finding(text) == name
