"""The engine that set-up found or started, for tests; a test that needs it fails clearly when there is none."""

from __future__ import annotations

import functools
import json
import os
import subprocess
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
    done = subprocess.run(
        [record()["docker"], *args], env=docker_env(), capture_output=True, text=True, timeout=deadline, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(args)}: {done.stderr}")
    return done.stdout.strip()
