"""Another checkout of this project in which `python -m deploy.setup` runs, and engines of its own for it to find."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.setup.bare import BareEngine
from tests.support.engine import ROOT

CACHE = Path(os.environ.get("CORTEX_OPS_CACHE", "~/.cache/cortex-ops")).expanduser()
PROGRAMS = CACHE / "newer"
PRIVATE = "/tmp/co-"
OURS = ("DOCKER_", "CORTEX_OPS_", "DAGSTER_")


@dataclass(frozen=True)
class Checkout:
    """`env` is all that its set-up sees of `DOCKER_*` and `CORTEX_OPS_*`."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def setup(
        self, command: str, *, python: str = sys.executable, user: int | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-B", "-m", "deploy.setup", command],
            cwd=self.folder,
            env=self._environment() | env,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            **({"user": user, "group": user, "extra_groups": []} if user is not None else {}),
        )

    def begin(self, command: str) -> subprocess.Popen[str]:
        """The same, not waited for."""
        argv = [sys.executable, "-B", "-m", "deploy.setup", command]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, cwd=self.folder, env=self._environment(), stdout=pipe, stderr=pipe, text=True)

    def _environment(self) -> dict[str, str]:
        return {k: v for k, v in os.environ.items() if not k.startswith(OURS)} | self.env

    def record(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / ".cortex" / "engine.json").read_text()))


def checkout(folder: Path, **env: str) -> Checkout:
    """What set-up needs of this project, copied to `folder`."""
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "dagster.yaml", folder / "dagster.yaml")
    return Checkout(folder.resolve(), env)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets (pytest's own are often too long)."""
    folder = Path(tempfile.mkdtemp(prefix=Path(PRIVATE).name, dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def own_engine() -> Iterator[BareEngine]:
    """A private engine, started, in a network namespace of its own beside whatever else runs on the machine."""
    with short_folder() as folder:
        engine = BareEngine(CACHE, folder / "home", folder / "run")
        try:
            engine.start()
            yield engine
        finally:
            engine.stop()


def daemons(folder: Path | None = None) -> dict[int, str]:
    """Engine and registry processes whose command line names `folder`, else all but private engines of tests, which
    come and go: pid → program."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode().split("\0")
                private = any(word.startswith(PRIVATE) for word in words)
                ours = not private if folder is None else any(str(folder) in word for word in words)
                if ours and Path(words[0]).name in ("dockerd", "containerd", "docker-registry"):
                    found[int(entry.name)] = Path(words[0]).name
    return found


def seconds_until(condition: Any, deadline: float) -> bool:
    """Poll `condition` until it holds; false when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
