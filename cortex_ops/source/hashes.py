"""Hashes of file contents, remembered by what the file system says of a file, so that a clean tree is not read again.

Git is not asked: its index misses edits under skip-worktree, and ignored files, which enter a build all the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from pathlib import Path

from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.files import write_atomic

FORMAT = 2
# A file that changed this recently could change again without its times showing it (the racy-clean rule of git's
# index); two seconds is the coarsest clock of a file system in use.
_RACY_NS = 2_000_000_000
_xattrs = getattr(os, "listxattr", None)


class HashCache:
    """Content hashes by absolute path. `save` writes back those that were asked for; losing it costs time only."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known: dict[str, list[object]] = {}
        self._seen: dict[str, list[object]] = {}
        if path is not None:
            try:
                document = json.loads(path.read_bytes())
                self._known = dict(document["files"]) if document["format"] == FORMAT else {}
            except (OSError, ValueError, KeyError, TypeError):
                self._known = {}

    def digest(self, path: str, info: os.stat_result) -> str:
        """sha256 hex of a regular file's bytes and extended attributes."""
        key = [info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]
        known = self._seen.get(path) or self._known.get(path)
        if known is not None and known[:5] == key:
            self._seen[path] = known
            return str(known[5])
        try:
            with open(path, "rb") as stream:  # noqa: PTH123 - hot path
                value = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise OpsError(
                f"{path} cannot be read: {error.strerror}", remedy="correct its mode, or name it in .dockerignore"
            ) from error
        if extra := attributes(path):
            value = hashlib.sha256(f"{value}\0{extra}".encode()).hexdigest()
        if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > _RACY_NS:
            self._seen[path] = [*key, value]
        return value

    def save(self) -> None:
        """Files that nobody asked for this time are forgotten."""
        if self.path is not None and self._seen != self._known:
            document = {"format": FORMAT, "files": self._seen}
            write_atomic(self.path, json.dumps(document, separators=(",", ":")).encode(errors="surrogateescape"))
            self._known = dict(self._seen)


def read_text(path: Path) -> str:
    """Of a Dockerfile or ignore file; bytes that are no UTF-8 survive. Raises `FileNotFoundError` as it is, and
    `InputError` for what is no file: reading a pipe would wait for ever."""
    try:
        if not path.is_file() and path.exists():
            raise InputError(f"{path} cannot be read: it is no regular file")
        return path.read_bytes().decode(errors="surrogateescape")
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def attributes(path: str) -> str:
    """Extended attributes that the builder counts: file capabilities, and all but the system's and Apple's own."""
    if _xattrs is None:
        return ""
    try:
        names = _xattrs(path, follow_symlinks=False)
    except OSError:
        return ""
    foreign = ("security.", "system.", "com.apple.")
    own = [n for n in sorted(names) if n == "security.capability" or not n.startswith(foreign)]
    return ";".join(f"{n}={os.getxattr(path, n, follow_symlinks=False).hex()}" for n in own)


def kind(mode: int) -> str:
    """`f`, `d`, `l`, or the special kinds, of which the builder sends the entry and no content."""
    if stat.S_ISREG(mode):
        return "f"
    if stat.S_ISDIR(mode):
        return "d"
    return "l" if stat.S_ISLNK(mode) else f"special-{stat.S_IFMT(mode):o}"
