"""One hash of all that an image's build can see: paths, modes and bytes, Dockerfile, arguments, base digests.

File hashes are cached by path, size, inode, mtime and ctime. Git is not asked: its index misses edits under
skip-worktree and ignored files, which enter a build all the same. A file that changed within a second of being
hashed is not cached (the racy-clean rule that git's own index follows).
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from cortex_ops.kernel.canonical import canonical, sha256
from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.files import write_atomic
from cortex_ops.source.dockerfile import WHOLE, scan
from cortex_ops.source.ignore import Rule, can_skip_folder, ignored, read_ignore

_RACY_NS = 1_000_000_000
FORMAT = 1


class HashCache:
    """Hashes of files of one context. `save` writes it back; losing it costs time only."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known: dict[str, list[object]] = {}
        self._dirty = False
        if path is not None:
            try:
                document = json.loads(path.read_bytes())
                if document.get("format") == FORMAT:
                    self._known = document["files"]
            except (OSError, ValueError, KeyError, AttributeError):
                self._known = {}

    def digest(self, path: str, info: os.stat_result) -> str:
        """sha256 hex of the bytes (or of a symlink's target)."""
        key = [info.st_size, info.st_ino, info.st_mtime_ns, info.st_ctime_ns]
        known = self._known.get(path)
        if known is not None and known[:4] == key:
            return str(known[4])
        if stat.S_ISLNK(info.st_mode):
            value = sha256(str(Path(path).readlink()).encode())
        else:
            with open(path, "rb") as stream:  # noqa: PTH123 - hot path
                value = hashlib.file_digest(stream, "sha256").hexdigest()
        if time.time_ns() - max(info.st_mtime_ns, info.st_ctime_ns) > _RACY_NS:
            self._known[path] = [*key, value]
            self._dirty = True
        return value

    def save(self) -> None:
        if self._dirty and self.path is not None:
            write_atomic(self.path, json.dumps({"format": FORMAT, "files": self._known}).encode())
            self._dirty = False


def context_files(context: Path, rules: list[Rule], start: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """(path with `/`, lstat) of all files and symlinks that survive the ignore rules. Symlinks are not followed."""
    root = context / start if start else context
    pending = [(str(root), start)]
    while pending:
        folder, relative = pending.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda e: e.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OpsError(f"{folder} cannot be read: {error.strerror}") from error
        for entry in entries:
            path = f"{relative}/{entry.name}" if relative else entry.name
            if entry.is_dir(follow_symlinks=False):
                if not can_skip_folder(rules, path):
                    pending.append((entry.path, path))
            elif not ignored(rules, path):
                try:
                    yield path, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue


def fingerprint(
    context: Path,
    dockerfile: str,
    *,
    cache: HashCache,
    target: str = "",
    arguments: dict[str, str] | None = None,
    bases: dict[str, str] | None = None,
) -> str:
    """64 hex characters. `bases` maps base image name → digest, for those that the Dockerfile names."""
    path = context / dockerfile
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", remedy="correct `build.dockerfile` in the stack file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    seen = scan(text)
    rules = read_ignore(context, dockerfile)
    files = {}
    for name, info in _visible(context, rules, seen.sources):
        mode = stat.S_IMODE(info.st_mode) if not stat.S_ISLNK(info.st_mode) else 0o120000
        files[name] = [mode, cache.digest(str(context / name), info)]
    known = bases or {}
    return sha256(
        canonical(
            {
                "format": FORMAT,
                "dockerfile": sha256(text.encode()),
                "target": target,
                "arguments": arguments or {},
                "bases": {image: known.get(image, "") for image, _ in seen.bases},
                "files": files,
            }
        )
    )


def _visible(context: Path, rules: list[Rule], sources: tuple[str, ...]) -> Iterator[tuple[str, os.stat_result]]:
    if WHOLE in sources:
        yield from context_files(context, rules)
        return
    done: set[str] = set()
    for source in sources:
        for start in _expand(context, source):
            full = context / start
            try:
                info = full.lstat()
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                found: Iterator[tuple[str, os.stat_result]] = context_files(context, rules, start)
            else:
                found = iter([] if ignored(rules, start) else [(start, info)])
            for name, file_info in found:
                if name not in done:
                    done.add(name)
                    yield name, file_info


def _expand(context: Path, source: str) -> list[str]:
    """A COPY source may be a glob; each part is matched in its folder only, as the builder does."""
    starts = [""]
    for part in source.split("/"):
        following = []
        for start in starts:
            if any(c in part for c in "*?["):
                try:
                    names = sorted(p.name for p in (context / start).iterdir())
                except OSError:
                    continue
                following += [f"{start}/{n}" if start else n for n in names if fnmatch.fnmatchcase(n, part)]
            else:
                following.append(f"{start}/{part}" if start else part)
        starts = following
    return starts
