"""The key that versions secrets, and generated secrets: made once, whole, whoever is killed meanwhile."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import InputError, RefusedError
from cortex_ops.kernel.settings import load_settings
from cortex_ops.secrets.keys import ensure_demo_secrets, key_file
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import load_stack

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "import sys; from pathlib import Path; from cortex_ops.secrets import keys; "
KEY = PROGRAM + "print(keys.key_file(Path(sys.argv[1])).hex())"


def test_a_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "k.key"
    key = key_file(path)
    assert len(key) == 32 and key_file(path) == key
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize("left", [b"", b"x" * 7, b"x" * 32])
def test_a_half_made_key_of_a_killed_start_is_settled_by_the_next(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "secret-versions.key"
    path.with_suffix(".new").write_bytes(left)
    key = key_file(path)
    assert len(key) == 32 and key != left
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("moment", ["os.fsync", "os.open", "keys.sync_folder", "Path.replace"])
def test_a_start_that_is_killed_at_any_moment_leaves_what_the_next_one_settles(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "k.key"
    kill = f"import os, signal; {moment} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL); "
    died = subprocess.run([sys.executable, "-c", PROGRAM + kill + KEY, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert len(key_file(path)) == 32


def test_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", KEY, str(tmp_path / "k.key")]
    starts = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    keys = {start.communicate(timeout=60)[0] for start in starts}
    assert len(keys) == 1 and len(bytes.fromhex(keys.pop())) == 32


def test_a_key_that_is_none_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "k.key"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"k\.key has 0 bytes") as caught:
        key_file(path)
    assert "every secret gets a new version" in caught.value.remedy
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"k\.key cannot be read or made: Is a directory"):
        key_file(path)
    with pytest.raises(InputError, match="Not a directory"):
        key_file(Path("/dev/null/keys/k.key"))


def test_what_is_missing_of_a_demo_is_generated_and_what_is_there_is_kept(tmp_path: Path) -> None:
    stack = load_stack(ROOT / "deploy" / "stack.yaml")
    settings = load_settings({"CORTEX_OPS_PROJECT": str(tmp_path)})
    environment = dataclasses.replace(resolve(stack, "local"), secrets_folder="../s")
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / "token-key").write_text("mine")
    made = ensure_demo_secrets(stack, environment, settings)
    assert set(made) == set(stack.secrets) - {"token-key"}
    assert (folder / "token-key").read_text() == "mine"
    values = {(folder / name).read_text() for name in made}
    assert len(values) == len(made) and min(map(len, values)) > 30
    assert all((folder / name).stat().st_mode & 0o777 == 0o600 for name in made)
    assert ensure_demo_secrets(stack, environment, settings) == []


def test_nothing_is_generated_for_a_protected_environment(tmp_path: Path) -> None:
    stack = load_stack(ROOT / "deploy" / "stack.yaml")
    settings = load_settings({"CORTEX_OPS_PROJECT": str(tmp_path)})
    environment = dataclasses.replace(resolve(stack, "production"), secrets_folder="../s")
    with pytest.raises(RefusedError, match="production is protected and lacks postgres-password, nats-token"):
        ensure_demo_secrets(stack, environment, settings)
    assert not os.path.lexists(tmp_path / "s")
