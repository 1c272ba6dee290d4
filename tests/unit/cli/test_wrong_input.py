"""Wrong input to the other commands is a sentence and an exit code, with or without an engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Call


def test_no_command_and_an_unknown_one_say_how_it_is_used(call: Call) -> None:
    assert call().code == 2
    said = call("relaese")
    assert said.code == 2 and "relaese" in said.err and "rollback" in said.err


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "ten", "", "١"])
@pytest.mark.parametrize(("command", "flag"), [("rollback", "--to"), ("history", "-n")])
def test_what_is_no_number_of_a_release_is_refused(call: Call, command: str, flag: str, number: str) -> None:
    said = call(command, "-e", "local", f"{flag}={number}" if flag.startswith("--") else f"{flag}{number}")
    assert said.code == 2


def test_an_environment_without_releases_is_said_to_have_none(call: Call) -> None:
    assert call("history", "-e", "local").out == "local has no releases yet\n"
    assert call("backup", "list", "-e", "local").out == "local has no backups\n"  # nor keys
    said = call("rollback", "-e", "local")
    assert said.code == 3 and said.sentence == "local has nothing live to roll back from"


@pytest.mark.parametrize("command", [("secrets", "apply"), ("render", "-o", "out")])
def test_an_engine_that_is_away_is_named(call: Call, project: Path, command: tuple[str, ...]) -> None:
    (project / "secrets").mkdir()
    (project / "secrets" / "redis-password").write_text("long-enough")
    (project / "mono" / "api").mkdir()
    (project / "mono" / "api" / "Dockerfile").write_text("FROM scratch\n")
    said = call(*command, "-e", "local")
    assert said.code == 1 and "no-engine.sock" in said.out + said.err, said


@pytest.mark.parametrize("action", ["check", "apply"])
def test_a_development_environment_has_no_secrets_to_deliver(call: Call, action: str) -> None:
    said = call("secrets", action, "-e", "dev")
    assert said.code == 2 and "is for development" in said.sentence


def test_missing_secrets_are_listed_with_what_to_create(call: Call, project: Path) -> None:
    said = call("secrets", "check", "-e", "local")
    assert said.code == 2 and f"redis-password: create {project / 'secrets' / 'redis-password'}" in said.sentence


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\x00", b"[1, 2", b'{"seq": "x"}'])
@pytest.mark.parametrize("command", ["history", "settle", "rollback"])
def test_a_damaged_object_of_the_history_is_named(call: Call, project: Path, command: str, data: bytes) -> None:
    path = project / ".cortex" / "store" / "releases" / "local" / "000001" / "intent.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    said = call(command, "-e", "local")
    assert said.code == 1 and "releases/local/000001/intent.json is damaged" in said.sentence


def test_foreign_objects_beside_the_history_are_left_alone(call: Call, project: Path) -> None:
    path = project / ".cortex" / "store" / "releases" / "local" / "notes" / "intent.json"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert call("history", "-e", "local").out == "local has no releases yet\n"


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_a_broken_record_of_the_set_up_is_named(call: Call, project: Path, text: str) -> None:
    (project / ".cortex").mkdir()
    (project / ".cortex" / "engine.json").write_text(text)
    said = call("history", "-e", "local")
    assert said.code == 2 and "engine.json" in said.sentence and "make setup" in said.err


def test_a_store_that_cannot_be_is_named(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_OPS_STORE", "s3://")
    said = call("history", "-e", "local")
    assert said.code == 2 and said.sentence.startswith("CORTEX_OPS_STORE: found 's3://'")


def test_doctor_says_what_is_wrong_with_each_thing(call: Call, project: Path) -> None:
    (project / "deploy" / "stack.yaml").write_text("version: 1\n")
    said = call("doctor")
    assert said.code == 1
    wrong = [line for line in said.out.splitlines() if line.startswith("✗")]
    assert any(line.startswith("✗ stack file: ") and "stack.yaml:1:" in line for line in wrong)
    assert any(line.startswith("✗ engine: ") for line in wrong)


def test_doctor_does_not_ask_for_secrets_of_an_environment_that_this_machine_does_not_serve(
    call: Call, project: Path
) -> None:
    assert "✓ secrets of local: none are on this machine" in call("doctor").out
    (project / "secrets").mkdir()
    assert "✗ secrets of local: environment local lacks" in call("doctor").out


def test_doctor_goes_on_when_the_state_folder_cannot_be_made(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORTEX_OPS_STATE", "/proc/nowhere/state")
    said = call("doctor")
    assert said.code == 1 and "✗ state folder: /proc/nowhere" in said.out and "✗ engine: " in said.out


def test_a_state_that_is_no_folder_is_named(call: Call, project: Path) -> None:
    (project / ".cortex").write_text("a file")
    said = call("doctor")
    assert said.code == 2 and str(project / ".cortex") in said.sentence


@pytest.mark.parametrize("error", [KeyError("nobody thought of this"), BrokenPipeError(32, "of an engine")])
def test_a_defect_of_ours_is_one_line_with_the_trace_in_a_file(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from cortex_ops.cli import stack
    from cortex_ops.cli.main import main

    def fails(_args: object) -> int:
        raise error

    monkeypatch.setattr(stack, "run_validate", fails)
    assert main(["validate"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and f"unexpected {type(error).__name__}" in lines[0]
    assert "Traceback" in (project / ".cortex" / "logs" / "cortex-ops-error.log").read_text()


def program(*args: str, **env: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "cortex_ops.cli.main", *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env={**os.environ, **env}, stdout=pipe, stderr=pipe, text=True)


@pytest.mark.parametrize("command", ["schema", "--help"])
def test_a_reader_that_has_seen_enough_is_no_failure(project: Path, command: str) -> None:
    running = program(command)
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert (running.wait(timeout=60), running.stderr.read()) == (0, "")
    running.stderr.close()


def test_a_console_of_few_characters_is_no_failure(project: Path) -> None:
    out, err = program("doctor", PYTHONIOENCODING="ascii").communicate(timeout=60)
    assert "\\u2717 engine: " in out and err == ""


def test_history_as_json_is_one_record_a_line(call: Call) -> None:
    said = call("history", "-e", "local", "--json")
    assert [json.loads(line) for line in said.out.splitlines()] == []
