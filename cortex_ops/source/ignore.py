"""`.dockerignore` as Docker reads it: order matters, `!` brings back, a pattern covers what is below it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Rule:
    pattern: re.Pattern[str]
    negated: bool


def read_ignore(context: Path, dockerfile: str) -> list[Rule]:
    """The Dockerfile's own `<name>.dockerignore` wins over the context's."""
    for path in (context / f"{dockerfile}.dockerignore", context / ".dockerignore"):
        try:
            return parse_ignore(path.read_text(encoding="utf-8-sig"))
        except FileNotFoundError:
            continue
    return []


def parse_ignore(text: str) -> list[Rule]:
    rules = []
    for line in text.splitlines():
        if line.startswith("#"):  # only in the first column
            continue
        entry = line.strip()
        negated = entry.startswith("!")
        entry = entry[1:].strip() if negated else entry
        if not entry:
            continue
        parts = [p for p in PurePosixPath("/", entry).parts[1:] if p != "."]
        clean: list[str] = []
        for part in parts:
            if part == ".." and clean:
                clean.pop()
            elif part != "..":
                clean.append(part)
        if clean:
            rules.append(Rule(_compile("/".join(clean)), negated))
    return rules


def ignored(rules: list[Rule], path: str) -> bool:
    """Whether a path of the context (with `/`) is left out."""
    if not rules:
        return False
    parents = _parents(path)
    out = False
    for rule in rules:
        if rule.negated != out:
            continue  # it could only confirm what already holds
        if any(rule.pattern.match(candidate) for candidate in parents):
            out = not rule.negated
    return out


@lru_cache(maxsize=65536)
def _parents(path: str) -> tuple[str, ...]:
    parts = path.split("/")
    return tuple("/".join(parts[: i + 1]) for i in range(len(parts)))


def can_skip_folder(rules: list[Rule], path: str) -> bool:
    """An ignored folder need not be walked unless some rule could bring back what is below it."""
    return ignored(rules, path) and not any(rule.negated for rule in rules)


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    out = "^"
    i = 0
    while i < len(pattern):
        c = pattern[i]
        if c == "*" and pattern[i : i + 2] == "**":
            i += 2
            if pattern[i : i + 1] == "/":
                i += 1
            if i >= len(pattern):
                out += ".*"
            else:
                out += "(?:.*/)?"
            continue
        if c == "*":
            out += "[^/]*"
        elif c == "?":
            out += "[^/]"
        elif c == "[":
            end = pattern.find("]", i + 1)
            if end < 0:
                out += re.escape(c)
            else:
                body = pattern[i + 1 : end].replace("\\", "\\\\")
                out += f"[{body}]"
                i = end
        elif c == "\\" and i + 1 < len(pattern):
            i += 1
            out += re.escape(pattern[i])
        else:
            out += re.escape(c)
        i += 1
    return re.compile(out + "$", re.DOTALL)
