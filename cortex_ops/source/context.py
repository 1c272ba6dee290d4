"""A build context as the builder sees it: the entries that survive the ignore rules, and a digest of each folder.

Ignore rules are applied first and symlinks never followed, so an ignored broken link does no harm. Each folder is
read once, however many images are built from it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cortex_ops.kernel.errors import OpsError
from cortex_ops.source.hashes import HashCache, attributes, kind
from cortex_ops.source.ignore import Ignore, Marks


@dataclass(frozen=True, slots=True)
class Entry:
    """`kind` as in `hashes.kind`; `mode` are the permission bits; `digest` is of content, target or folder."""

    name: str
    kind: str
    mode: int
    digest: str


class Context:
    """What lies below `root`. Digests are remembered: make a new one to look again."""

    def __init__(self, root: Path, ignore: Ignore, cache: HashCache) -> None:
        self.root, self.ignore, self.cache = root, ignore, cache
        self._folders: dict[str, list[Entry]] = {}
        self._states: dict[str, tuple[bool, Marks]] = {"": (False, ())}

    def digest(self, path: str = "") -> str:
        """Of the entry at `path` (`""`: the whole context); empty when the builder sees nothing there."""
        if not path:
            return _digest(self._folder(""))
        try:
            info = os.lstat(self.root / path)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        entry = self._entry(path, info)
        return "" if entry is None else f"{entry.kind} {entry.mode:o} {entry.digest}"

    def entries(self, start: str = "") -> Iterator[tuple[str, Entry]]:
        """(path, entry) of all that survives below a folder, folders included, in order of names."""
        for entry in self._folder(start):
            path = f"{start}/{entry.name}" if start else entry.name
            yield path, entry
            if entry.kind == "d":
                yield from self.entries(path)

    def _state(self, path: str) -> tuple[bool, Marks]:
        found = self._states.get(path)
        if found is None:
            above, _, _ = path.rpartition("/")
            found = self.ignore.state(path, self._state(above)[1])
            self._states[path] = found
        return found

    def _entry(self, path: str, info: os.stat_result) -> Entry | None:
        mode, name = info.st_mode, path.rpartition("/")[2]
        if stat.S_ISDIR(mode):
            below = self._folder(path)
            if not below and self._state(path)[0]:
                return None  # an ignored folder shows only when something in it was brought back
            extra = attributes(f"{self.root}/{path}")
            return Entry(name, "d", stat.S_IMODE(mode), _digest(below) + extra)
        if self.ignore.rules and self.ignore.state(path, self._state(path.rpartition("/")[0])[1])[0]:
            return None
        if stat.S_ISREG(mode):
            return Entry(name, "f", stat.S_IMODE(mode), self.cache.digest(f"{self.root}/{path}", info))
        if stat.S_ISLNK(mode):
            try:
                target = os.readlink(f"{self.root}/{path}")  # noqa: PTH115 - bytes that are no UTF-8 survive
            except FileNotFoundError:
                return None
            return Entry(name, "l", 0, target)
        return Entry(name, kind(mode), stat.S_IMODE(mode), "")

    def _folder(self, path: str) -> list[Entry]:
        known = self._folders.get(path)
        if known is not None:
            return known
        found: list[Entry] = []
        self._folders[path] = found
        if path and self._state(path)[0] and self.ignore.prunes(path):
            return found
        folder = f"{self.root}/{path}" if path else str(self.root)
        try:
            with os.scandir(folder) as listed:
                names = sorted(listed, key=lambda e: e.name)
        except (FileNotFoundError, NotADirectoryError):
            return found
        except OSError as error:
            if path and self._state(path)[0]:
                return found  # the builder, too, passes over an ignored folder that it may not read
            raise OpsError(f"{folder} cannot be read: {error.strerror}", remedy="correct its mode") from error
        for one in names:
            try:
                info = one.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            entry = self._entry(f"{path}/{one.name}" if path else one.name, info)
            if entry is not None:
                found.append(entry)
        return found


def _digest(entries: list[Entry]) -> str:
    text = "\n".join(f"{e.name}\0{e.kind}\0{e.mode:o}\0{e.digest}" for e in entries)
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
