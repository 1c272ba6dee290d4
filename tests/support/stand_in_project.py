"""A project folder for tests of the Dagster layer alone: a real stack file, stand-in steps, nothing to build."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cortex_ops.kernel.settings import Settings, load_settings
from tests.support.engine import ROOT
from tests.support.stand_in_steps import StandInSteps

SERVICE = {
    "path": "api",
    "build": {"dockerfile": "api/Dockerfile", "test_stage": "test"},
    "port": "8080",
    "probes": {"ready": "/ready", "command": ["node", "/app/probe.mjs"]},
    "route": {"port": "8080"},
}
STACK: dict[str, Any] = {
    "version": "1",
    "name": "standin",
    "source": {"path": "../mono"},
    "services": {"api": SERVICE, "task-worker": {**SERVICE, "route": None, "port": "9000", "build": {
        "dockerfile": "worker/Dockerfile"}}},
    "stores": {"postgres": {"kind": "postgres", "image": "postgres:15", "user": 999, "secret": "pw", "volume": "1Gi",
                            "database": "app", "owner": "app"}},
    "secrets": {"pw": {"from": "file"}},
    "tests": {"path": "tests", "build": {"dockerfile": "tests/Dockerfile"}, "env": {"API_URL": "route:api"}},
    "backup": {"schedule": "0 3 * * *", "drill_schedule": "0 5 * * 0", "stores": ["postgres"]},
    "environments": {
        "dev": {"mode": "development"},
        "local": {"ports": {"api": "18123"}, "secrets_folder": "../secrets"},
        "staging": {"ports": {"api": "18124"}, "secrets_folder": "../secrets"},
    },
}  # fmt: skip


def create(root: Path) -> StandInSteps:
    """Write the project below `root`; returns its steps, whose script a test sets."""
    (root / "deploy").mkdir(parents=True)
    (root / "mono").mkdir()
    (root / "deploy" / "stack.yaml").write_text(json.dumps(STACK))
    (root / ".dagster").mkdir()
    shutil.copyfile(ROOT / "dagster.yaml", root / ".dagster" / "dagster.yaml")
    return StandInSteps(root / "steps")


def settings(root: Path) -> Settings:
    return load_settings({"CORTEX_OPS_PROJECT": str(root), "PATH": "/usr/bin:/bin"})
