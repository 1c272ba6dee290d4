"""`validate`, `schema`, `render`: every mistake is a located sentence, and what is written is what others read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.unit.cli.conftest import STACK, Call

ROOT = Path(__file__).resolve().parents[3]


def test_a_valid_file_is_said_to_be_so(call: Call, project: Path) -> None:
    said = call("validate")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{project / 'deploy' / 'stack.yaml'}: valid: 1 services, 1 stores, 2 environments\n"


def test_every_mistake_of_every_file_is_located_and_the_valid_ones_are_said_too(call: Call, tmp_path: Path) -> None:
    good, one, two = tmp_path / "good.yaml", tmp_path / "one.yaml", tmp_path / "two.yaml"
    good.write_text(STACK)
    one.write_text(STACK.replace('port: "8080"\n', "port: 80:80\n    calls: [nobody]\n"))
    two.write_text("a: ]\n")
    said = call("validate", one, good, two)
    assert said.code == 2 and said.out.startswith(f"{good}: valid")
    assert re.findall(r"/(\w+)\.yaml:(\d+):\d+: ", said.err) == [("one", "8"), ("one", "9"), ("two", "1")]


def broken(path: Path, kind: str) -> None:
    """Make `path` something that is no stack file."""
    path.unlink()
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "binary":
        path.write_bytes(bytes(range(256)) * 40)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a symlink loop":
        path.symlink_to(path.name)
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    elif kind == "long":
        path.write_bytes(b"# " + b"x" * 2_000_000)
    elif kind == "a dangling link":
        path.symlink_to("nowhere")


KINDS = ("missing", "empty", "binary", "a folder", "a symlink loop", "a dangling link", "a pipe", "endless", "long")
COMMANDS = (
    ("validate",),
    ("render", "-e", "local", "-o", "out"),
    ("history", "-e", "local"),
    ("settle", "-e", "local"),
    ("rollback", "-e", "local"),
    ("secrets", "check", "-e", "local"),
    ("health", "-e", "local"),
    ("upkeep", "-e", "local"),
    ("backup", "list", "-e", "local"),
    ("demo", "-e", "local"),
    ("down", "-e", "local"),
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_broken_stack_file_is_one_sentence_from_every_command(
    call: Call, project: Path, command: tuple[str, ...], kind: str
) -> None:
    broken(project / "deploy" / "stack.yaml", kind)
    said = call(*command)
    assert said.code == 2 and re.match(r"^/\S+:\d+:1: \(document\): found .+, expected .+", said.sentence), said.err


@pytest.mark.parametrize("env", ["dev", "local"])
@pytest.mark.parametrize("kind", ["missing", "a file", "a symlink loop"])
def test_a_monorepo_that_is_no_folder_is_named(call: Call, project: Path, kind: str, env: str) -> None:
    mono = project / "mono"
    mono.rmdir()
    if kind == "a file":
        mono.write_text("")
    elif kind == "a symlink loop":
        mono.symlink_to(mono)
    said = call("render", "-e", env, "-o", "out")
    assert said.code == 2 and said.sentence.endswith(f"stack.yaml: source.path: {mono} is no folder")


AS_NOBODY = """
import os, sys
import cortex_ops.kernel.settings, cortex_ops.stack.load
from cortex_ops.cli.main import main, parser
parser()  # imports while the code can still be read
os.getuid() or os.setuid(65534)
sys.exit(main(["validate", sys.argv[1]]))
"""


def test_a_file_that_we_may_not_read_is_one_sentence(project: Path) -> None:
    path = project / "deploy" / "stack.yaml"
    path.chmod(0)
    argv = [sys.executable, "-c", AS_NOBODY, str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{path}:1:1: (document): found Permission denied, expected a readable file\n"


@pytest.mark.parametrize("command", COMMANDS[1:], ids=lambda command: command[0])
def test_an_unknown_environment_lists_the_known_ones(call: Call, command: tuple[str, ...]) -> None:
    said = call(*("lcoal" if word == "local" else word for word in command))
    assert said.code == 2
    assert said.sentence == "there is no environment 'lcoal'; the stack file has dev, local"


def test_the_schema_is_valid_and_accepts_the_projects_own_file(call: Call) -> None:
    schema = json.loads(call("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    document = yaml.safe_load((ROOT / "deploy" / "stack.yaml").read_text())
    assert list(validator.iter_errors(document)) == []
    document["services"]["api"]["port"] = 8080
    document["services"]["api"]["colour"] = "red"
    assert sorted(list(error.path)[-1] for error in validator.iter_errors(document)) == ["api", "port"]


def test_a_schema_explains_every_key_of_a_service(call: Call) -> None:
    service = json.loads(call("schema").out)["$defs"]["Service"]
    assert service["properties"]["port"]["description"] and service["additionalProperties"] is False


def test_a_place_where_nothing_can_be_written_is_named(call: Call, tmp_path: Path) -> None:
    for target in (tmp_path / "none" / "s.json", tmp_path):
        said = call("schema", "-o", target)
        assert said.code == 1 and str(target) in said.sentence


def test_a_development_rendering_is_written_again_over_itself_and_what_is_no_more_is_removed(
    call: Call, project: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert call("render", "--environment", "dev", "--output", out).code == 0
    assert (out / "stores" / "redis.conf").is_file() and (out / "README.md").is_file()
    (out / "mine.txt").write_text("kept")
    document = yaml.safe_load(STACK)
    del document["stores"], document["secrets"]
    (project / "deploy" / "stack.yaml").write_text(json.dumps(document))
    assert call("render", "-e", "dev", "-o", out).code == 0
    assert not (out / "stores" / "redis.conf").exists() and (out / "mine.txt").read_text() == "kept"
    assert set(yaml.safe_load((out / "compose.yaml").read_text())["services"]) == {"api"}


@pytest.mark.parametrize("held", ["a file", "the list of another tool", "another environment", "it is a file"])
def test_a_foreign_folder_is_not_written_into(call: Call, tmp_path: Path, held: str) -> None:
    out = tmp_path / "out"
    if held == "it is a file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "compose.yaml").write_text("mine")
    if held == "the list of another tool":
        (out / ".cortex-ops.json").write_text("[1]")
    if held == "another environment":
        text = json.dumps({"stack": "demo", "environment": "staging", "files": ["compose.yaml"]})
        (out / ".cortex-ops.json").write_text(text)
    said = call("render", "-e", "dev", "-o", out)
    assert said.code == 2 and str(out) in said.sentence
    assert (out if out.is_file() else out / "compose.yaml").read_text() == "mine"
    assert ("staging of demo" in said.sentence) == (held == "another environment")


def test_a_list_that_was_tampered_with_removes_nothing_outside(call: Call, tmp_path: Path) -> None:
    out, outside = tmp_path / "out", tmp_path / "precious"
    outside.write_text("kept")
    assert call("render", "-e", "dev", "-o", out).code == 0
    listed = json.loads((out / ".cortex-ops.json").read_text())
    listed["files"] += ["../precious", str(outside)]
    (out / ".cortex-ops.json").write_text(json.dumps(listed))
    assert call("render", "-e", "dev", "-o", out).code == 0
    assert outside.read_text() == "kept"
