"""The helper that answers the docker CLI: for our registry from the environment, for others from the person's own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cortex_ops.adapters.credential import HOST, THEIRS, credentials, get
from cortex_ops.kernel.errors import InputError

OURS = {"CORTEX_OPS_REGISTRY_USER": "ci", "CORTEX_OPS_REGISTRY_PASSWORD": "ours-secret", HOST: "reg.example:5000"}
HUB = "https://index.docker.io/v1/"


def theirs(folder: Path, document: object) -> dict[str, str]:
    (folder / "config.json").write_text(json.dumps(document))
    return {**OURS, THEIRS: str(folder / "config.json")}


def auth(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


def test_our_registry_is_answered_from_the_environment_and_others_from_the_persons_file(tmp_path: Path) -> None:
    environ = theirs(
        tmp_path,
        {"auths": {HUB: auth("me:a:b"), "reg.example:5000": auth("x:y"), "third": {}, "odd": {"auth": "%%"}}},
    )
    assert get("reg.example:5000", environ) == {
        "ServerURL": "reg.example:5000",
        "Username": "ci",
        "Secret": "ours-secret",
    }
    assert get(HUB, environ) == {"ServerURL": HUB, "Username": "me", "Secret": "a:b"}
    assert [get(name, environ) for name in ("third", "odd", "unknown")] == [None, None, None]
    del environ["CORTEX_OPS_REGISTRY_USER"], environ["CORTEX_OPS_REGISTRY_PASSWORD"]
    found = get("reg.example:5000", environ)
    assert found is not None and found["Username"] == "x", "without a setting, the person's own login"


def test_an_identity_token_keeps_its_form(tmp_path: Path) -> None:
    environ = theirs(tmp_path, {"auths": {"a": {"identitytoken": "t"}}})
    assert get("a", environ) == {"ServerURL": "a", "Username": "<token>", "Secret": "t"}


def test_the_persons_own_helper_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-theirs"
    program.write_text("""#!/bin/sh\necho '{"ServerURL":"'"$(cat)"'","Username":"u","Secret":"s"}'\n""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for document in ({"credsStore": "theirs"}, {"credHelpers": {"a": "theirs"}}):
        assert get("a", theirs(tmp_path, document)) == {"ServerURL": "a", "Username": "u", "Secret": "s"}
    assert get("a", theirs(tmp_path, {"credsStore": "not-installed"})) is None


def test_half_a_login_and_a_password_file_that_is_not_there_are_one_sentence_each() -> None:
    assert credentials({}) is None
    with pytest.raises(
        InputError, match="REGISTRY_PASSWORD is not set, and a login needs both → set both, or neither"
    ):
        credentials({"CORTEX_OPS_REGISTRY_USER": "ci"})
    with pytest.raises(InputError, match="REGISTRY_USER is not set"):
        credentials({"CORTEX_OPS_REGISTRY_PASSWORD": "x"})
    with pytest.raises(InputError, match="/no/such/file cannot be read"):
        credentials({"CORTEX_OPS_REGISTRY_USER": "ci", "CORTEX_OPS_REGISTRY_PASSWORD_FILE": "/no/such/file"})


def test_as_a_program_it_speaks_the_clis_language_and_stores_nothing(tmp_path: Path) -> None:
    def ask(what: str, text: str) -> tuple[int, str]:
        argv = [sys.executable, "-m", "cortex_ops.adapters.credential", what]
        env = {**os.environ, **theirs(tmp_path, {})}
        done = subprocess.run(argv, env=env, input=text, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip()

    code, found = ask("get", "reg.example:5000\n")
    assert code == 0 and json.loads(found)["Secret"] == "ours-secret"
    assert ask("get", "other") == (1, "credentials not found in native keychain")
    before = (tmp_path / "config.json").read_bytes()
    assert ask("store", json.dumps({"ServerURL": "x", "Username": "u", "Secret": "s"})) == (0, "")
    assert ask("erase", "x") == (0, "") and ask("list", "") == (0, "{}")
    assert (tmp_path / "config.json").read_bytes() == before
