"""The sample monorepo, copied into a project of its own: other names, other ports, nothing of a user's demo."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cortex_ops.secrets.keys import ensure_demo_secrets
from cortex_ops.stack.naming import prefix
from tests.support import layers
from tests.support.engine import ROOT, record
from tests.support.tiny import Tiny, commit, free_port

__all__ = ["commit", "sample_project"]


@contextmanager
def sample_project(root: Path) -> Iterator[Tiny]:
    """`local` and `staging` → `production` on free loopback ports; removed at the end."""
    name = f"s{secrets.token_hex(4)}"
    api, web = free_port(), free_port()
    shutil.copytree(
        ROOT / "examples" / "cortex-os", root / "mono", ignore=shutil.ignore_patterns("node_modules", "__pycache__")
    )
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run(["git", "init", "-q", str(root / "mono")], check=True)
    subprocess.run([*git, "add", "-A"], cwd=root / "mono", check=True)
    subprocess.run([*git, "commit", "-qm", "one"], cwd=root / "mono", check=True)
    (root / "deploy").mkdir()
    text = (ROOT / "deploy" / "stack.yaml").read_text()
    text = text.replace("\nname: cortex\n", f"\nname: {name}\n").replace("../examples/cortex-os", "../mono")
    (root / "deploy" / "stack.yaml").write_text(text)
    tiny = Tiny(root, name, api)
    tiny.stack({"environments": {"local": {"ports": {"api": str(api), "cortex-web": str(web)}}}})
    (root / ".dagster").mkdir()
    shutil.copyfile(ROOT / "dagster.yaml", root / ".dagster" / "dagster.yaml")
    (root / ".cortex").mkdir()
    import json

    (root / ".cortex" / "engine.json").write_text(json.dumps(record()))
    if (ROOT / ".cortex" / "bases.json").is_file():
        shutil.copyfile(ROOT / ".cortex" / "bases.json", root / ".cortex" / "bases.json")
    layers.take_over(root)
    w = tiny.wire()
    ensure_demo_secrets(w.stack, w.environment("local"), w.settings)
    assert tiny.prefix == prefix(name, "local")
    try:
        yield tiny
    finally:
        tiny.remove()
