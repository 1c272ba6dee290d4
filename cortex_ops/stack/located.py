"""YAML with positions: values as they were written, and where each key and value stands.

Differs from a plain YAML load in what it refuses (duplicate keys, aliases, tags, deep nesting) and in reading
scalars below an `env` key as the text that was written: `ACCEPT_EULA: Y` reaches the container as `Y`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.files import read_regular

MAX_BYTES = 2_000_000
MAX_DEPTH = 40
Key = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Problem:
    """One located error."""

    line: int
    column: int
    path: str
    found: str
    expected: str

    def text(self, file: str) -> str:
        where = f"{file}:{self.line}:{self.column}: "
        return f"{where}{self.path or '(document)'}: found {self.found}, expected {self.expected}"


class StackError(InputError):
    """All problems of one file at once, sorted by position."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        lines = [problem.text(file) for problem in sorted(set(problems))]
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        super().__init__(lines[0] + more, details=lines[1:])
        self.problems = sorted(set(problems))
        self.located = lines


@dataclass
class Located:
    """A document's value and the positions (line, column, from 1) of its keys and values by path.

    `problems` are those of the text itself, at `refused`; what stands there is not in the value as written.
    """

    value: Any
    keys: dict[Key, tuple[int, int]] = field(default_factory=dict)
    values: dict[Key, tuple[int, int]] = field(default_factory=dict)
    written: dict[Key, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    refused: list[Key] = field(default_factory=list)

    def position(self, path: Key, *, key: bool = False) -> tuple[int, int]:
        """Of the path, or of the nearest thing around it that exists."""
        table = self.keys if key else self.values
        while path and path not in table:
            path = path[:-1]
        return table.get(path) or self.values.get(path) or (1, 1)


def read(path: Path) -> str:
    """The file's text; every way in which it cannot be read is one located sentence."""

    def refused(found: str, expected: str, line: int = 1) -> StackError:
        return StackError(str(path), [Problem(line, 1, "", found, expected)])

    try:
        data = read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        raise refused("no file", "a stack file here") from None
    except IsADirectoryError:
        raise refused("a folder", "a stack file") from None
    except OSError as error:
        raise refused(str(error.strerror), "a readable file") from None
    if len(data) > MAX_BYTES:
        raise refused(f"more than {MAX_BYTES} bytes", "a stack file")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise refused("bytes that are not UTF-8", "UTF-8 text", line) from None


def locate(text: str, file: str) -> Located:
    """Parse one YAML document. Raises `StackError` for what does not parse; collects what is refused."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        builder = _Builder(file, loader)
        value = builder.build(node, (), 0) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        found = " ".join(str(error.problem or error.context or "text that is no YAML").split())
        raise StackError(file, [Problem(line, column, "", f"YAML that does not parse ({found})", "YAML")]) from None
    except (yaml.YAMLError, UnicodeError) as error:
        found = " ".join(str(error).split())
        raise StackError(file, [Problem(1, 1, "", f"text that is no YAML ({found})", "YAML")]) from None
    except RecursionError:
        raise StackError(file, [Problem(1, 1, "", "endless nesting", "a flat document")]) from None
    finally:
        loader.dispose()
    builder.out.value = value
    return builder.out


class _Builder:
    def __init__(self, file: str, loader: Any) -> None:
        self.file, self.loader = file, loader
        self.out = Located(None)
        self._seen: set[int] = set()

    def build(self, node: yaml.Node, path: Key, depth: int) -> Any:
        position = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.out.values[path] = position
        if depth > MAX_DEPTH:
            self._refuse(position, path, "nesting this deep", f"at most {MAX_DEPTH} levels")
            return None
        if not isinstance(node, yaml.ScalarNode):
            if id(node) in self._seen:
                self._refuse(position, path, "an alias", "the value itself, written out")
                return None
            self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path, position)

    def _mapping(self, node: yaml.MappingNode, path: Key, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            position = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == "tag:yaml.org,2002:merge":
                self._refuse(position, path, "a key that is no plain word", "a word")
                continue
            key = str(key_node.value)
            if "\0" in key or any("\ud800" <= c <= "\udfff" for c in key):
                self._refuse(position, path, "a key with a character that no text holds", "a word")
                continue
            if key in out:
                self._refuse(position, (*path, key), "the same key again", "each key once")
                continue
            self.out.keys[(*path, key)] = position
            out[key] = self.build(value_node, (*path, key), depth + 1)
        return out

    def _scalar(self, node: yaml.ScalarNode, path: Key, position: tuple[int, int]) -> Any:
        self.out.written[path] = node.value
        if "\0" in node.value or any("\ud800" <= c <= "\udfff" for c in node.value):
            self._refuse(position, path, "a character that no text holds (NUL or half of a pair)", "text")
            return None
        if _is_variable(path) and node.tag != "tag:yaml.org,2002:null":
            return str(node.value)
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and not node.style and (":" in node.value or "_" in node.value):
            return _Odd(node.value)
        try:
            value = self.loader.construct_object(node)
        except (ValueError, OverflowError, yaml.YAMLError):
            self._refuse(position, path, repr(node.value), "a value of a plain type")
            return None
        if not isinstance(value, str | int | float | bool | type(None)):
            return _Odd(node.value)  # dates and such: never meant here
        return value

    def _refuse(self, position: tuple[int, int], path: Key, found: str, expected: str) -> None:
        self.out.problems.append(Problem(*position, dotted(path), found, expected))
        self.out.refused.append(path)


def _is_variable(path: Key) -> bool:
    """Whether an environment variable's value stands there; a service may itself be called `env`."""
    match path:
        case ("services", _, "env", _) | ("tests", "env", _) | ("environments", _, "overrides", _, "env", _):
            return True
    return False


class _Odd:
    """A scalar that YAML 1.1 would read as something nobody meant (9022:22 as a number, a date …)."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def dotted(path: Key) -> str:
    """`services.api.calls[2]`; a key that is no plain word is shown as `services['a b']`."""
    text = ""
    for part in path:
        if isinstance(part, int) or not re.fullmatch(r"[\w-]{1,80}", part):
            text += f"[{part!r}]"
        else:
            text += f".{part}" if text else part
    return text
