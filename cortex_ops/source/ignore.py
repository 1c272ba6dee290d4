"""`.dockerignore` as Docker reads it: order matters, `!` brings back, a pattern covers what is below it.

The rules are those of moby's `patternmatcher`, quirks included (`**x` matches any path that *ends* in x; a rule that
had no say about a folder is not asked about that folder again), since a file that the builder sees and we do not
would leave an image stale. `pathspec` follows git's rules, which differ.
"""

from __future__ import annotations

import posixpath
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from cortex_ops.kernel.errors import InputError
from cortex_ops.source.hashes import read_text

Marks = tuple[bool, ...]


@dataclass(frozen=True)
class Rule:
    text: str
    negated: bool
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Ignore:
    """The rules of one file. `state(path, marks of its folder)` says whether it is left out, and its own marks."""

    rules: tuple[Rule, ...] = ()

    def state(self, path: str, above: Marks = ()) -> tuple[bool, Marks]:
        """`above` is empty for what lies in the root. Marks say which rule matched the path or a folder above."""
        out = False
        marks = []
        for i, rule in enumerate(self.rules):
            match = above[i] if above else False
            if not match and rule.negated == out:
                match = rule.pattern.match(path) is not None
            marks.append(match)
            if match:
                out = not rule.negated
        return out, tuple(marks)

    def prunes(self, folder: str) -> bool:
        """Whether an ignored folder need not be entered: no `!` rule can bring back what is below it.

        The builder, too, enters one only when such a rule names something below it or has a wildcard.
        """
        exceptions = [rule.text for rule in self.rules if rule.negated]
        plain = [text.removesuffix("/**").removesuffix("/*") for text in exceptions]
        if any(c in text for text in plain for c in "*?[]^\\"):
            return False
        return not any(f"{text}/".startswith(f"{folder}/") for text in plain)


def read_ignore(context: Path, dockerfile: str) -> Ignore:
    """The Dockerfile's own `<name>.dockerignore` wins over the context's."""
    for path in (context / f"{dockerfile}.dockerignore", context / ".dockerignore"):
        try:
            text = read_text(path).removeprefix("\ufeff")
        except FileNotFoundError:
            continue
        return parse_ignore(text, str(path))
    return Ignore()


def parse_ignore(text: str, where: str = ".dockerignore") -> Ignore:
    """Raises `InputError` with the line of a pattern that the builder would refuse."""
    rules = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("#"):  # only in the first column
            continue
        entry = line.strip()
        negated = entry.startswith("!")
        entry = entry[1:].strip() if negated else entry
        if not entry and not negated:
            continue
        pattern = _clean(entry) if entry else ""
        try:
            if not pattern:
                raise ValueError("! without a pattern")
            _check(pattern)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a [ inside a class is an ordinary character here
                rules.append(Rule(pattern, negated, re.compile(_translate(pattern))))
        except (ValueError, re.error) as error:
            raise InputError(f"{where}:{number}: {line.strip()!r} is no pattern: {error}") from None
    return Ignore(tuple(rules))


def _clean(entry: str) -> str:
    """Go's `filepath.Clean`, then without the leading slash."""
    clean = posixpath.normpath(re.sub(r"^/+", "/", entry))
    return clean[1:] if len(clean) > 1 and clean.startswith("/") else clean


def _translate(pattern: str) -> str:
    if not re.search(r"[*?\[\]\\]", pattern):
        return re.escape(pattern) + r"\Z"
    rest = pattern[2:].removeprefix("/") if pattern.startswith("**") else pattern
    if rest != pattern and not re.search(r"[*?\[\]\\]", rest):  # a suffix, wherever in a name it begins
        tail = re.escape(pattern[2:])
        return rf"(?s:.*){tail}\Z" + (rf"|{re.escape(rest)}\Z" if pattern[2:3] == "/" else "")
    out, i = "", 0
    while i < len(pattern):
        c = pattern[i]
        i += 1
        if c == "*" and pattern[i : i + 1] == "*":
            i += 1
            i += pattern[i : i + 1] == "/"
            if i < len(pattern):
                out += "(?:.*/)?"
            elif re.search(r"[*?\[\]\\]", pattern[:-2]):
                out += ".*"
            else:
                return re.escape(pattern.removesuffix("**"))  # a prefix, however the name goes on
        elif c == "*":
            out += "[^/]*"
        elif c == "?":
            out += "[^/]"
        elif c in "[]":
            out += c
        elif c == "\\":
            out += "\\" + pattern[i]
            i += 1
        else:
            out += "\\" + c if c in ".+()|{}$" else c
    return out + r"\Z"


def _check(pattern: str) -> None:
    """Raise `ValueError` for what Go's `filepath.Match` calls malformed."""
    i = 0
    while i < len(pattern):
        if pattern[i] == "\\":
            i += 1
            if i >= len(pattern):
                raise ValueError("it ends in a backslash")
        elif pattern[i] == "[":
            i = _class_end(pattern, i + 1)
        i += 1


def _class_end(pattern: str, i: int) -> int:
    if pattern[i : i + 1] == "^":
        i += 1
    ranges = 0
    while True:
        if i < len(pattern) and pattern[i] == "]" and ranges:
            return i
        i = _one(pattern, i)
        if pattern[i : i + 1] == "-":
            i = _one(pattern, i + 1)
        ranges += 1


def _one(pattern: str, i: int) -> int:
    """The index after one character of a class."""
    if i >= len(pattern) or pattern[i] in "-]":
        raise ValueError("a [ that is not closed, or nothing in it")
    i += 2 if pattern[i] == "\\" else 1
    if i >= len(pattern):
        raise ValueError("a [ that is not closed")
    return i
