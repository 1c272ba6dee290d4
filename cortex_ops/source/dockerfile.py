"""What of the context a Dockerfile can see: the sources of COPY, ADD and bind mounts. And its base images.

All stages count, also those that only test: their result gates the image. When a source cannot be known without
building (a variable in it, a foreign syntax), the answer is the whole context: an image may be rebuilt for nothing,
but never left stale. Not seen: ONBUILD steps of a base image (docker's own lookup does not show them).
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass, field

from cortex_ops.source.instructions import Instruction, directives, instructions, words

WHOLE = "."
_REMOTE = re.compile(r"^(https?|git|ssh)://|^git@|^<<")
_OURS = re.compile(r"^(docker\.io/)?docker/dockerfile(-upstream)?(:|@|$)")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}$]*))?\})")


@dataclass(frozen=True)
class Seen:
    """`sources`: context paths or globs; `bases`: (image, line number) of every image that is no stage."""

    sources: tuple[str, ...]
    bases: tuple[tuple[str, int], ...]


def scan(text: str, arguments: dict[str, str] | None = None) -> Seen:
    """`arguments` are the build arguments; they may decide what FROM names."""
    reader = _Reader(dict(arguments or {}))
    syntax = directives(text).get("syntax", "docker/dockerfile")
    if not _OURS.match(syntax):
        reader.sources.add(WHOLE)
    for one in instructions(text):
        reader.read(one)
    return Seen(tuple(sorted(reader.sources)), tuple(dict.fromkeys(reader.bases)))


@dataclass
class _Reader:
    given: dict[str, str]
    known: dict[str, str] = field(default_factory=dict)
    stages: set[str] = field(default_factory=set)
    count: int = 0
    sources: set[str] = field(default_factory=set)
    bases: list[tuple[str, int]] = field(default_factory=list)

    def read(self, one: Instruction) -> None:
        if one.word == "ARG" and not self.count:
            for word in words(one.rest):
                name, has_default, value = word.partition("=")
                default = expand(value.strip("\"'"), self.known) if has_default else ""
                self.known[name] = self.given.get(name, default or "")
        elif one.word == "FROM":
            self._from(one)
        elif one.word in ("COPY", "ADD"):
            self._copy(one)
        elif one.word == "RUN":
            self._run(one)
        elif one.word == "ONBUILD":  # it runs in whatever builds on this stage; here is early enough
            word, _, rest = one.rest.partition(" ")
            self.read(Instruction(one.line, word.upper(), rest.strip()))

    def _from(self, one: Instruction) -> None:
        self.count += 1
        parts = [part for part in one.rest.split() if not part.startswith("--")]
        image = expand(parts[0], self.known) if parts else None
        if image and image.lower() not in self.stages and image != "scratch":
            self.bases.append((image, one.line))
        if len(parts) >= 3 and parts[1].upper() == "AS":
            self.stages.add(parts[2].lower())

    def _copy(self, one: Instruction) -> None:
        flags, rest = _flags(one.rest)
        origin = next((flag.partition("=")[2] for flag in flags if flag.startswith("--from=")), "")
        if origin:
            self._note(origin, one.line)
            return
        for word in _operands(rest)[:-1]:
            if not _REMOTE.match(word):
                self.sources.add(_path(word))

    def _run(self, one: Instruction) -> None:
        for flag in _flags(one.rest)[0]:
            name, _, value = flag.replace('"', "").replace("'", "").partition("=")
            if name != "--mount":
                continue
            options = dict(item.partition("=")[::2] for item in value.split(","))
            kind, origin = options.get("type", "bind"), options.get("from", "")
            if origin:
                self._note(origin, one.line)
            elif kind == "bind":
                self.sources.add(_path(options.get("source") or options.get("src") or WHOLE))

    def _note(self, origin: str, line: int) -> None:
        if origin.lower() not in self.stages and not origin.isdigit() and "$" not in origin:
            self.bases.append((origin, line))


def expand(text: str, known: dict[str, str]) -> str | None:
    """`$X`, `${X}`, `${X:-default}`, `${X:+other}`; None when more is asked or a name is the builder's own."""

    def one(match: re.Match[str]) -> str:
        value = known.get(match[1] or match[2])
        how, other = match[3] or "", match[4] or ""
        if not how:
            return "$" if value is None else value
        there = bool(value) if how.startswith(":") else value is not None
        if how.endswith("+"):
            return other if there else ""
        return (value or "") if there else other

    out = _VARIABLE.sub(one, text)
    return None if "$" in out else out


def _path(word: str) -> str:
    """A context path as the builder means it: relative to the root, which `..` cannot leave."""
    if "$" in word or "\\" in word or "**" in word:
        return WHOLE
    plain = posixpath.normpath("/" + word.replace('"', "").replace("'", ""))
    return plain.strip("/") or WHOLE


def _flags(rest: str) -> tuple[list[str], str]:
    found = []
    while rest.startswith("--"):
        flag = words(rest)[0]
        found.append(flag)
        rest = rest[len(flag) :].lstrip()
    return found, rest


def _operands(rest: str) -> list[str]:
    if rest.startswith("["):
        try:
            listed = json.loads(rest)
            if isinstance(listed, list) and all(isinstance(word, str) for word in listed):
                return listed
        except ValueError:
            pass  # the builder, too, falls back to plain words
    return rest.split()
