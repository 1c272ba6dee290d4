"""What of the context a Dockerfile can see: the sources of COPY, ADD and bind mounts. And its base images.

When a source cannot be known without building (a variable in it), the answer is the whole context: an image may
be rebuilt for nothing, but never left stale.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass

WHOLE = "."


@dataclass(frozen=True)
class Seen:
    """`sources`: context paths or globs; `bases`: (image, line number) of every FROM that is no stage."""

    sources: tuple[str, ...]
    bases: tuple[tuple[str, int], ...]


def scan(text: str) -> Seen:
    sources: set[str] = set()
    bases: list[tuple[str, int]] = []
    stages: set[str] = set()
    arguments: dict[str, str] = {}
    for number, word, rest in _instructions(text):
        if word == "ARG" and not stages:
            name, _, value = rest.partition("=")
            arguments[name.strip()] = value.strip().strip("\"'")
        elif word == "FROM":
            parts = [p for p in rest.split() if not p.startswith("--")]
            image = _expand(parts[0], arguments) if parts else ""
            if image and image not in stages and image != "scratch":
                bases.append((image, number))
            if len(parts) >= 3 and parts[1].upper() == "AS":
                stages.add(parts[2])
            else:
                stages.add(f"#{number}")
        elif word in ("COPY", "ADD"):
            sources |= _copied(rest, stages, bases, number)
        elif word == "RUN":
            sources |= _mounted(rest, stages, bases, number)
    return Seen(tuple(sorted(sources)), tuple(dict.fromkeys(bases)))


def _instructions(text: str) -> list[tuple[int, str, str]]:
    found: list[tuple[int, str, str]] = []
    lines = text.replace("\r\n", "\n").split("\n")
    i = 0
    while i < len(lines):
        line = lines[i].strip()
        start = i + 1
        i += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\") and i < len(lines):
            following = lines[i].strip()
            i += 1
            if following.startswith("#") or not following:
                continue
            line = line[:-1] + " " + following
        for marker in re.findall(r"<<-?[\"']?(\w+)[\"']?", line):  # a here-document is data, not instructions
            while i < len(lines) and lines[i].strip() != marker:
                i += 1
            i += 1
        word, _, rest = line.partition(" ")
        found.append((start, word.upper(), rest.strip()))
    return found


def _expand(text: str, arguments: dict[str, str]) -> str:
    return re.sub(
        r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)",
        lambda m: arguments.get(m[1] or m[3]) or m[2] or "",
        text,
    )


def _copied(rest: str, stages: set[str], bases: list[tuple[str, int]], number: int) -> set[str]:
    flags, words = _split(rest)
    origin = next((f.split("=", 1)[1] for f in flags if f.startswith("--from=")), "")
    if origin:
        _note_base(origin, stages, bases, number)
        return set()
    if any("$" in word for word in words[:-1]):
        return {WHOLE}
    plain = [w for w in words[:-1] if not re.match(r"^(https?|git)://|^git@|^<<", w)]
    return {w.strip("/").removeprefix("./") or WHOLE for w in plain}


def _mounted(rest: str, stages: set[str], bases: list[tuple[str, int]], number: int) -> set[str]:
    out: set[str] = set()
    for mount in re.findall(r"--mount=(\S+)", rest):
        options: dict[str, str] = dict(item.partition("=")[::2] for item in mount.split(","))
        if options.get("type", "bind") != "bind":
            continue
        if options.get("from"):
            _note_base(options["from"], stages, bases, number)
            continue
        source = options.get("source", options.get("src", "."))
        out.add(WHOLE if "$" in source else source.strip("/").removeprefix("./") or WHOLE)
    return out


def _note_base(origin: str, stages: set[str], bases: list[tuple[str, int]], number: int) -> None:
    if origin not in stages and not origin.isdigit() and "$" not in origin:
        bases.append((origin, number))


def _split(rest: str) -> tuple[list[str], list[str]]:
    flags: list[str] = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.strip()
    if rest.startswith("["):
        try:
            return flags, [str(w) for w in json.loads(rest)]
        except ValueError:
            return flags, [WHOLE, "/"]
    try:
        return flags, shlex.split(rest)
    except ValueError:
        return flags, [WHOLE, "/"]
