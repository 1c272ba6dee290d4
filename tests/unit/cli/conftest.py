"""A project that needs no engine, and the command line called as `cortex-ops` calls it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cortex_ops.cli.main import main

STACK = """\
version: "1"
name: demo
source: { path: ../mono }
services:
  api:
    path: api
    build: { dockerfile: api/Dockerfile }
    port: "8080"
    route: { port: "8080" }
stores:
  redis: { kind: redis, image: "redis:7", user: 999, secret: redis-password, volume: 1Gi }
secrets:
  redis-password: { from: file }
environments:
  dev: { mode: development }
  local: { secrets_folder: ../secrets }
"""


@dataclass(frozen=True)
class Said:
    """What one call ended with. `sentence` is the first line on standard error."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        return self.err.splitlines()[0] if self.err else ""


Call = Callable[..., Said]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    (root / "deploy").mkdir(parents=True)
    (root / "mono").mkdir()
    (root / "deploy" / "stack.yaml").write_text(STACK)
    for name in ("STACK", "STATE", "STORE", "KEYS", "RUN"):
        monkeypatch.delenv(f"CORTEX_OPS_{name}", raising=False)
    monkeypatch.setenv("CORTEX_OPS_PROJECT", str(root))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    return root


@pytest.fixture
def call(project: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Any ending is an exit code and sentences; a trace, or a request to report a defect, is a failure."""

    def run(*argv: str | Path) -> Said:
        try:
            code = main([str(word) for word in argv])
        except SystemExit as ended:  # argparse ends so
            code = int(str(ended.code))
        found = capsys.readouterr()
        text = found.out + found.err
        assert "Traceback" not in text and "unexpected" not in text and "please report" not in text, text
        return Said(code, found.out, found.err)

    return run
