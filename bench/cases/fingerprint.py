"""How long it takes to know whether anything changed: 8,000 files that did not, and 8,000 that all did."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bench.harness import Case
from bench.systems import many_files
from cortex_ops.source.fingerprint import fingerprint
from cortex_ops.source.hashes import HashCache

FILES = 8000


class Tree:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cortex-bench-"))
        self.cache = self.folder / "hashes.json"
        self.root = self.folder / "tree"
        self.turn = 0

    def prepare(self) -> None:
        many_files(self.root, FILES)
        # Git's racy rule: a file as young as the cache is read again. A checkout is older than a release's minute.
        for path in self.root.rglob("*.txt"):
            os.utime(path, (1_600_000_000, 1_600_000_000))
        self.take()

    def take(self) -> str:
        cache = HashCache(self.cache)
        found = fingerprint(self.root, "Dockerfile", cache=cache)
        cache.save()
        return found

    def touch(self) -> None:
        self.turn += 1
        for path in self.root.rglob("*.txt"):
            with path.open("r+b") as stream:
                stream.write(b"%8d" % self.turn)

    def finish(self) -> None:
        shutil.rmtree(self.folder)


def cases() -> list[Case]:
    clean, dirty = Tree(), Tree()
    return [
        Case(
            "fingerprint of 8,000 files, clean", "alone", 0.3, clean.take, prepare=clean.prepare, finish=clean.finish
        ),
        Case(
            "fingerprint of 8,000 files, all dirty",
            "alone",
            1.0,
            dirty.take,
            prepare=dirty.prepare,
            before=dirty.touch,
            finish=dirty.finish,
        ),
    ]
