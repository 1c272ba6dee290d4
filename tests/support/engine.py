"""The engine that set-up found or started, for tests; a test that needs it fails clearly when there is none."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def record() -> dict[str, str]:
    """What `python -m deploy.setup engine` wrote."""
    path = ROOT / ".cortex" / "engine.json"
    if not path.is_file():
        raise RuntimeError("no engine is set up: run `make setup` first")
    return dict(json.loads(path.read_text()))


def docker_env() -> dict[str, str]:
    found = record()
    env = {**os.environ, "DOCKER_HOST": found["host"]}
    if found.get("config_dir"):
        env["DOCKER_CONFIG"] = found["config_dir"]
    return env


def docker(*args: str, check: bool = True, deadline: float = 120) -> str:
    """Run the raw CLI; tests look with it, independently of our own adapter."""
    argv = [record()["docker"], *args]
    for _ in range(6):
        done = subprocess.run(argv, env=docker_env(), capture_output=True, text=True, timeout=deadline, check=False)
        if "failed to calculate size of image" not in done.stderr:  # one went while they were listed
            break
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(args)}: {done.stderr}")
    return done.stdout.strip()


def remove_images(wanted: Callable[[str], bool]) -> None:
    """Names of images in the engine, as repository:tag; without a tag as repository@digest. What is in use stays."""
    form = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
    rows = [row.split() for row in docker("image", "ls", "--digests", "--format", form, check=False).splitlines()]
    names = {pinned if "<none>" in tagged else tagged for tagged, pinned in rows}
    mine = sorted(name for name in names if "<none>" not in name and wanted(name))
    if mine:
        docker("image", "rm", *mine, check=False, deadline=60 + 10 * len(mine))  # seconds each on a full store
