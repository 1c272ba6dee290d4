"""A stack file is understood wholly, or refused with every place that is wrong."""

from __future__ import annotations

import copy
import functools
import json
import operator
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_ops.kernel.errors import InputError
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import StackError, load_stack, load_stack_text
from cortex_ops.stack.located import dotted

FILE = Path(__file__).resolve().parents[3] / "deploy" / "stack.yaml"
TEXT = FILE.read_text()
LOCATED = re.compile(r"^stack\.yaml:\d+:\d+: .+: found .+, expected .+")


def problems(text: str) -> list[str]:
    with pytest.raises(StackError) as caught:
        load_stack_text(text, Path("stack.yaml"))
    return caught.value.located


def test_the_projects_own_file_is_valid() -> None:
    assert set(load_stack(FILE).services) >= {
        "cortex-os",
        "api",
        "cortex-web",
        "model-gateway",
        "mcp-registry",
        "agents",
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('port: "3000"\n    env:\n      DATABASE', "port: 9022:22\n    env:\n      DATABASE", "9022:22"),
        ("calls: [cortex-os]", "calls: [cortex-oss]", "one of agents, api"),
        ("calls: [postgres, nats, redis]", "calls: [postgres, nats, redis, api]", "a cycle of calls"),
        ('route: { port: "3001" }', 'route: { port: "8081" }', "host_services.mlx"),
        ("  token-key: { from: file }", "  token-kei: { from: file }", "one of the secrets"),
        ("  api:\n    path: apps/api", "  my_api:\n    path: apps/api", "a lower-case name"),
        ("bundles: [kernel, observability]", "bundles: [kernal, observability]", "one of a2a-services"),
        ('replicas: 2\n    route: { port: "8080" }', 'replicas: two\n    route: { port: "8080" }', "a whole number"),
        ("name: cortex\n", "name: cortex\nname: again\n", "each key once"),
        ("path: packages/agents", "path: ../agents", "a path inside the monorepo"),
        ('schedule: "0 3 * * *"', 'schedule: "0 4 1-7 * 0"', "not both"),
        ('OLLAMA_URL: "http://host.docker.internal:11434"', 'OLLAMA_URL: "${X?:d}"', "nothing is interpolated"),
    ],
)
def test_a_mistake_is_found_where_it_is(old: str, new: str, said: str) -> None:
    assert old in TEXT
    found = problems(TEXT.replace(old, new, 1))
    assert any(said in line for line in found), found
    assert all(LOCATED.fullmatch(line) for line in found)


def test_words_that_yaml_would_turn_into_something_else_reach_the_container_as_written() -> None:
    text = TEXT.replace(
        'env: { CORTEX_OS_URL: "http://cortex-os:3000" }', "env: { A: Y, B: on, C: 0o17, D: 1234567e8, E: 0899123 }"
    )
    env = load_stack_text(text, FILE).services["api"].env
    assert env == {"A": "Y", "B": "on", "C": "0o17", "D": "1234567e8", "E": "0899123"}


def test_a_byte_order_mark_and_windows_line_ends_are_harmless(tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert load_stack(path) == load_stack(FILE)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff\xfe", b"a: [", b"a: &x 1\nb: *x", b"\t- x", b"[" * 500, b"a: !!python/x y"]
)
def test_what_is_no_stack_file_at_all_is_one_located_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stack.yaml"
    path.write_bytes(content)
    with pytest.raises(StackError):
        load_stack(path)


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="found no file"):
        load_stack(tmp_path / "none.yaml")
    with pytest.raises(StackError, match="found a folder"):
        load_stack(tmp_path)


def test_an_unknown_environment_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="dev, local, production, staging"):
        resolve(load_stack(FILE), "lcoal")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def test_one_wrong_value_anywhere_is_one_problem_at_its_place() -> None:
    whole = yaml.safe_load(TEXT)
    every = list(leaves(whole))
    assert len(every) > 200
    for path in every:
        document = copy.deepcopy(whole)
        parent = functools.reduce(operator.getitem, path[:-1], document)
        parent[path[-1]] = {"odd": 1}
        (found,) = problems(json.dumps(document))
        assert f": {dotted(path)}: found a mapping" in found


def mutate(chance: random.Random, text: str) -> str:
    lines = text.split("\n")
    for _ in range(chance.randint(1, 3)):
        kind, at = chance.randrange(8), chance.randrange(len(lines))
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[chance.randrange(len(lines))])
        elif kind == 2:
            lines[at] = " " * chance.randint(0, 6) + lines[at].lstrip()
        elif kind == 3 and lines[at]:
            place = chance.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + chance.choice("\t{}[]:,&*!|>'\"%@`\0é#-?0") + lines[at][place:]
        elif kind == 4:
            lines[at] = re.sub(
                r": .*", ": " + chance.choice(["null", "[]", "{}", "-1", "1e999", "yes", "~", "''"]), lines[at]
            )
        elif kind == 5:
            lines[at] = lines[at].replace(chance.choice("aeiou"), "", 1)
        elif kind == 6:
            lines[at] = lines[at].replace('"', "")
        else:
            other = chance.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
    return "\n".join(lines)


def test_two_thousand_mutations_end_in_located_errors_or_success() -> None:
    seed = 20261125
    chance = random.Random(seed)
    refused = 0
    for number in range(2000):
        text = mutate(chance, TEXT)
        try:
            load_stack_text(text, Path("stack.yaml"))
        except StackError as error:
            refused += 1
            assert all(LOCATED.fullmatch(line) for line in error.located), (seed, number, error.located)
    assert 1000 < refused < 2000
