"""One hash of all that an image's build can see: paths, modes and bytes, Dockerfile, arguments, base digests.

Which files those are is read from the Dockerfile (COPY, ADD, bind mounts), not from a list kept by hand: a list that
lacks an entry leaves an image stale, and one that has too many rebuilds for nothing. Where a source is broad, has a
variable or leads through a symlink, it is the whole context.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

from cortex_ops.kernel.canonical import canonical, sha256
from cortex_ops.kernel.errors import InputError
from cortex_ops.source.context import Context
from cortex_ops.source.dockerfile import WHOLE, Seen, scan
from cortex_ops.source.hashes import HashCache, read_text
from cortex_ops.source.ignore import Ignore, read_ignore

FORMAT = 2


class Reader:
    """Fingerprints of several images: what they share of a context is read once."""

    def __init__(self, cache: HashCache) -> None:
        self.cache = cache
        self._contexts: dict[tuple[Path, Ignore], Context] = {}

    def fingerprint(
        self,
        context: Path,
        dockerfile: str,
        *,
        target: str = "",
        arguments: dict[str, str] | None = None,
        bases: dict[str, str] | None = None,
    ) -> str:
        """64 hex characters. `bases` maps base image name → digest, for those that the Dockerfile names."""
        text = read_dockerfile(context, dockerfile)
        seen = scan(text, arguments)
        known = bases or {}
        document = {
            "format": FORMAT,
            "dockerfile": sha256(text.encode(errors="surrogateescape")),
            "target": target,
            "arguments": arguments or {},
            "bases": {image: known.get(image, "") for image, _ in seen.bases},
            "files": self._files(context, dockerfile, seen),
        }
        return sha256(canonical(document))

    def _files(self, context: Path, dockerfile: str, seen: Seen) -> dict[str, str]:
        ignore = read_ignore(context, dockerfile)
        tree = self._contexts.setdefault((context, ignore), Context(context, ignore, self.cache))
        starts = {start for source in seen.sources for start in _places(context, source)}
        if WHOLE in starts:
            return {WHOLE: tree.digest()}
        # Names that are no UTF-8 (the builder refuses them) still need a form that JSON takes.
        return {ascii(start): tree.digest(start) for start in sorted(starts)}


def fingerprint(
    context: Path,
    dockerfile: str,
    *,
    cache: HashCache,
    target: str = "",
    arguments: dict[str, str] | None = None,
    bases: dict[str, str] | None = None,
) -> str:
    """Of one image; see `Reader`."""
    reader = Reader(cache)
    return reader.fingerprint(context, dockerfile, target=target, arguments=arguments, bases=bases)


def read_dockerfile(context: Path, dockerfile: str) -> str:
    """Raises `InputError` naming the stack file's entry when there is none."""
    path = context / dockerfile
    try:
        return read_text(path)
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", remedy="correct `build.dockerfile` in the stack file") from None


def _places(context: Path, source: str) -> list[str]:
    """The paths that a COPY source names; a glob is matched part by part in its folder, as the builder does."""
    if source == WHOLE:
        return [WHOLE]
    starts = [""]
    for part in source.split("/"):
        following = []
        for start in starts:
            names = _matching(context / start, part) if any(c in part for c in "*?[") else [part]
            following += [f"{start}/{name}" if start else name for name in names]
        if any(_is_symlink(context / path) for path in following):
            return [WHOLE]  # the builder follows it, to wherever in the context
        starts = following
    return starts


def _matching(folder: Path, part: str) -> list[str]:
    # A class is matched loosely: its syntax has corners, and one file too many does no harm.
    loose = re.sub(r"\[.*", "*", part)
    pattern = re.compile("".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in loose), re.DOTALL)
    try:
        return sorted(path.name for path in folder.iterdir() if pattern.fullmatch(path.name))
    except OSError:
        return []


def _is_symlink(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except OSError:
        return False
