"""From a file to a checked `Stack`, or to every error at once with its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cortex_ops.kernel.collector import collector_paused
from cortex_ops.kernel.errors import InputError
from cortex_ops.stack.checks import check
from cortex_ops.stack.located import Key, Located, Problem, StackError, dotted, locate, read
from cortex_ops.stack.partial import near, repaired
from cortex_ops.stack.schema import Stack

__all__ = ["StackError", "load_stack", "load_stack_text", "monorepo"]


def load_stack(path: Path) -> Stack:
    """Raises `StackError` (exit 2) with all problems as `file:line:column: path: found …, expected …`."""
    return load_stack_text(read(path), path)


@collector_paused()
def load_stack_text(text: str, path: Path) -> Stack:
    """The same for a text that was recorded earlier; `path` names it in errors."""
    located = locate(text, str(path))
    if not isinstance(located.value, dict):
        found = "nothing" if located.value is None else f"a {type(located.value).__name__}"
        expected = "a mapping with `version`, `name`, `services` …"
        raise StackError(str(path), located.problems or [Problem(1, 1, "", found, expected)])
    problems = list(located.problems)
    try:
        stack = Stack.model_validate(located.value)
    except ValidationError as error:
        items = [dict(item) for item in error.errors()]
        problems += [_problem(located, item) for item in items if not near(_path(item), located.refused)]
        problems += _further(located, items)
    else:
        problems += [problem for path_, problem in check(stack, located) if not near(path_, located.refused)]
        if not problems:
            return stack
    raise StackError(str(path), problems)


def monorepo(stack: Stack, stack_file: Path) -> Path:
    """The folder of the monorepo that is built; `InputError` when there is none."""
    path = stack_file.parent / stack.source.path
    if not path.is_dir():
        where = os.path.normpath(path)
        raise InputError(f"{stack_file}: source.path: {where} is no folder", remedy="correct it")
    return path.resolve()


def _further(located: Located, items: list[dict[str, Any]]) -> list[Problem]:
    """What the checks of the whole say about the parts that are right, so that one run shows everything."""
    broken = [_path(item) for item in items] + located.refused
    document = repaired(located.value, items)
    try:
        stack = Stack.model_validate(document) if document is not None else None
    except ValidationError:
        return []
    return [p for path, p in check(stack, located) if not near(path, broken)] if stack is not None else []


_EXPECTED = {
    "missing": "this key",
    "extra_forbidden": "no such key",
    "string_type": 'text (quote it: "…")',
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def _path(item: dict[str, Any]) -> Key:
    path: Key = tuple(item["loc"])
    return path[:-1] if path and path[-1] == "[key]" else path


def _problem(located: Located, item: dict[str, Any]) -> Problem:
    kind, context = item["type"], item.get("ctx") or {}
    path = _path(item)
    on_key = kind in ("extra_forbidden", "missing")
    line, column = located.position(path, key=kind == "extra_forbidden")
    expected = _EXPECTED.get(kind)
    if kind == "value_error":
        expected = str(context.get("error", "another value")).removeprefix("expected ")
    elif kind == "literal_error":
        expected = str(context.get("expected", "another value"))
    elif expected is None:
        expected = str(item["msg"]).removeprefix("Input should be ")
    if kind == "missing":
        found = "nothing"
    else:
        found = f"the key {path[-1]!r}" if on_key else _shown(item["input"], located.written.get(path))
    return Problem(line, column, dotted(path), found, expected)


def _shown(value: Any, written: str | None) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"{_short(written or str(value))} (a truth value)"
    if isinstance(value, int | float):
        return f"{_short(written or str(value))} (a number)"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return repr(_short(str(value)))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
