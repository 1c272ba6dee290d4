"""A secret's value arrives as it was meant, or one sentence names the file and never what is in it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.settings import Settings, load_settings
from cortex_ops.secrets.delivery import combined_version, deliveries, quoted, store_files
from cortex_ops.secrets.providers import read_secrets
from cortex_ops.stack.environments import Environment, resolve
from cortex_ops.stack.load import load_stack_text
from cortex_ops.stack.schema import Stack

VALUE = b"hunter-two-and-a-half"


def project(root: Path, kind: str = "postgres") -> tuple[Stack, Environment, Settings]:
    store = {"kind": kind, "image": "x:1", "user": 1, "secret": "pw", "volume": "1Gi", "database": "a", "owner": "a"}
    document = {
        "version": "1",
        "name": "s",
        "source": {"path": "mono"},
        "services": {},
        "stores": {"db": store},
        "secrets": {"pw": {"from": "file"}, "token": {"from": "env", "variable": "TOKEN"}},
        "environments": {"local": {"secrets_folder": "secrets"}},
    }
    (root / "secrets").mkdir()
    stack = load_stack_text(json.dumps(document), root / "stack.yaml")
    settings = load_settings({"CORTEX_OPS_PROJECT": str(root), "CORTEX_OPS_STACK": str(root / "stack.yaml")})
    return stack, resolve(stack, "local"), settings


def read(root: Path, content: bytes) -> bytes:
    stack, environment, settings = project(root)
    (root / "secrets" / "pw").write_bytes(content)
    return read_secrets(stack, environment, ["pw"], settings, {})["pw"].reveal()


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"abc\n", b"abc"),
        (b"abc\r\n", b"abc"),
        (b"abc", b"abc"),
        (b" a b \n", b" a b "),
        (b"one\ntwo\n", b"one\ntwo"),
        ('q"\\ #$\u00e9\u4e16'.encode(), 'q"\\ #$\u00e9\u4e16'.encode()),
    ],
)
def test_only_the_line_end_after_a_value_is_taken_off(tmp_path: Path, content: bytes, value: bytes) -> None:
    assert read(tmp_path, content) == value


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \r\n\t\n", "is empty"),
        (b"\xef\xbb\xbf" + VALUE, "byte-order mark"),
        (b"a\r\n" + VALUE + b"\r\n", "Windows line ends"),
        (VALUE.decode().encode("utf-16"), "not UTF-8 text"),
        (VALUE + b"\xff", "not UTF-8 text"),
        (VALUE + b"\0", "a NUL byte"),
        (VALUE * 60_000, "larger than 1 MiB"),
    ],
)
def test_an_unfit_file_is_one_sentence_that_names_it(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, content)
    (sentence, *rest) = caught.value.lines()
    assert said in sentence and str(tmp_path / "secrets" / "pw") in sentence
    assert VALUE.decode() not in "\n".join([sentence, *rest])


def test_what_is_no_file_is_said_to_be_so_and_nothing_waits_for_it(tmp_path: Path) -> None:
    stack, environment, settings = project(tmp_path)
    path = tmp_path / "secrets" / "pw"
    made = {
        "create ": lambda: None,
        "a folder, not a file": path.mkdir,
        "a pipe, socket or device": lambda: os.mkfifo(path),
        "Too many levels": lambda: path.symlink_to(path),
        "create": lambda: path.symlink_to("nowhere"),
    }
    for said, make in made.items():
        make()
        with pytest.raises(InputError, match=said) as caught:
            read_secrets(stack, environment, ["pw"], settings, {})
        assert str(path) in caught.value.message
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


@pytest.mark.parametrize(("value", "said"), [(None, "set the variable TOKEN"), ("", "empty"), ("a\udcff", "UTF-8")])
def test_a_variable_is_held_to_the_same(tmp_path: Path, value: str | None, said: str) -> None:
    stack, environment, settings = project(tmp_path)
    with pytest.raises(InputError, match=said):
        read_secrets(stack, environment, ["token"], settings, {} if value is None else {"TOKEN": value})


def test_everything_that_is_missing_is_listed_at_once(tmp_path: Path) -> None:
    stack, environment, settings = project(tmp_path)
    with pytest.raises(InputError, match="lacks 2 of its secrets") as caught:
        read_secrets(stack, environment, ["pw", "token"], settings, {})
    assert "token: set the variable TOKEN" in caught.value.details[0]


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("postgres", "one\ntwo", "several lines"),
        ("redis", "one\ntwo", "several lines"),
        ("nats", "x" * 513, "longer than 512 bytes"),
        ("nats", "$2a$10$" + "x" * 53, "bcrypt"),
        ("qdrant", "schlüssel", "printable ASCII"),
    ],
)
def test_a_password_that_a_store_could_not_use_is_refused_without_showing_it(
    tmp_path: Path, kind: str, value: str, said: str
) -> None:
    stack, environment, settings = project(tmp_path, kind)
    (tmp_path / "secrets" / "pw").write_text(value)
    with pytest.raises(InputError, match=said) as caught:
        deliveries(stack, environment, settings, {})
    assert "the secret pw of local is no password for db" in caught.value.message
    assert value not in "\n".join(caught.value.lines())


def test_an_ordinary_password_stands_in_the_stores_files_as_it_is() -> None:
    secret = Secret("aZ09-_~+/=")
    assert store_files("redis", secret)["redis.conf"].text() == 'requirepass "aZ09-_~+/="\n'
    assert store_files("nats", secret)["nats.conf"].text() == 'authorization { token: "aZ09-_~+/=" }\n'
    assert store_files("postgres", secret) == {}


def test_an_odd_key_is_what_qdrants_configuration_says() -> None:
    key = "a\"b'\\c #{$}: %" * 20
    assert yaml.safe_load(store_files("qdrant", Secret(key))["qdrant.yaml"].text()) == {"service": {"api_key": key}}


@given(st.binary(min_size=1, max_size=40))
def test_what_is_quoted_is_plain_and_stands_for_the_same_bytes(value: bytes) -> None:
    inner = re.fullmatch(r'"((?:[A-Za-z0-9._~+/=:@%,-]|\\x[0-9a-f]{2})+)"', quoted(value))
    assert inner is not None
    assert inner[1].encode().decode("unicode_escape").encode("latin-1") == value


def test_a_version_changes_with_the_key_a_name_or_a_value_and_with_nothing_else() -> None:
    key, values = b"k" * 32, {"a": Secret("1"), "bb": Secret("22")}
    same = combined_version(key, {"bb": Secret("22"), "a": Secret("1")})
    assert combined_version(key, values) == same
    others = [
        combined_version(b"l" * 32, values),
        combined_version(key, {"a": Secret("12"), "bb": Secret("2")}),
        combined_version(key, {"ab": Secret("1"), "b": Secret("22")}),
        combined_version(key, {"a": Secret("1")}),
    ]
    assert len({same, *others}) == 5
