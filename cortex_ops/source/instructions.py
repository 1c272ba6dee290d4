"""A Dockerfile's text as instructions: directives, continuation lines, comments, here-documents.

Follows the builder's own parser where a difference would hide a COPY. What instructions mean is in `dockerfile`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_HEREDOC = re.compile(r"^\d*<<(-?)([^<]+)$")
_WITH_HEREDOC = ("RUN", "COPY", "ADD", "ONBUILD")


@dataclass(frozen=True)
class Instruction:
    """`word` in upper case, `rest` joined from its lines, `line` where it begins (from 1)."""

    line: int
    word: str
    rest: str


def directives(text: str) -> dict[str, str]:
    """`# escape=…`, `# syntax=…`: only before anything else, as the builder reads them. Keys in lower case."""
    found: dict[str, str] = {}
    for line in _lines(text):
        match = _DIRECTIVE.match(line.strip())
        if not match or match[1].lower() in found:
            break
        found[match[1].lower()] = match[2]
    return found


def instructions(text: str) -> Iterator[Instruction]:
    """In order. Bodies of here-documents are data and are left out."""
    escape = re.escape(directives(text).get("escape", "\\"))
    continued = re.compile(rf"(^|[^{escape}]){escape}[ \t]*$")
    lines = _lines(text)
    i = 0
    while i < len(lines):
        start, line = i + 1, lines[i].lstrip()
        i += 1
        if not line or line.startswith("#"):
            continue
        while (match := continued.search(line)) and i < len(lines):
            line = line[: match.start()] + match[1]
            while i < len(lines) and (not lines[i].strip() or lines[i].lstrip().startswith("#")):
                i += 1  # comments and empty lines do not end an instruction
            if i < len(lines):
                line += lines[i]
                i += 1
        word, _, rest = line.strip().replace("\t", " ").partition(" ")
        if word.upper() in _WITH_HEREDOC:
            for name, chomp in _heredocs(rest):
                i = _after(lines, i, name, chomp)
        yield Instruction(start, word.upper(), rest.strip())


def words(text: str) -> list[str]:
    """Split at white space outside quotes; quotes and escapes stay."""
    out: list[str] = []
    current, quote, escaped = "", "", False
    for c in text:
        if escaped:
            current, escaped = current + c, False
        elif c == "\\" and quote != "'":
            current, escaped = current + c, True
        elif quote:
            current += c
            quote = "" if c == quote else quote
        elif c in "\"'":
            current, quote = current + c, c
        elif c.isspace():
            out, current = ([*out, current] if current else out), ""
        else:
            current += c
    return [*out, current] if current else out


def _heredocs(rest: str) -> Iterator[tuple[str, bool]]:
    if "<<" not in rest:
        return
    for word in words(rest):
        match = _HEREDOC.match(word)
        if match and not any(c.isspace() for c in match[2]):
            yield match[2].replace('"', "").replace("'", ""), bool(match[1])


def _after(lines: list[str], start: int, name: str, chomp: bool) -> int:
    for i in range(start, len(lines)):
        if (lines[i].lstrip("\t") if chomp else lines[i]) == name:
            return i + 1
    return start  # it never ends, so the builder will refuse it: hide nothing


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
