"""A fingerprint changes with what a build can see, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from cortex_ops.source.dockerfile import scan
from cortex_ops.source.fingerprint import HashCache, fingerprint
from cortex_ops.source.ignore import ignored, parse_ignore
from cortex_ops.stack.load import load_stack

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def mono(tmp_path: Path) -> Path:
    root = tmp_path / "mono"
    (root / "api").mkdir(parents=True)
    (root / "other").mkdir()
    (root / "api" / "main.js").write_text("1")
    (root / "api" / "Dockerfile").write_text("FROM base\nCOPY api ./\n")
    (root / "other" / "x").write_text("1")
    (root / ".dockerignore").write_text("**/ignored\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    git = ["git", "-C", str(root), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    return root


def of(root: Path, cache: Path | None = None) -> str:
    kept = HashCache(cache)
    value = fingerprint(root, "api/Dockerfile", cache=kept)
    kept.save()
    return value


def test_bytes_and_modes_count_and_other_folders_and_ignored_files_do_not(mono: Path) -> None:
    first = of(mono)
    (mono / "other" / "x").write_text("2")
    (mono / "api" / "ignored").write_text("2")
    (mono / "api" / "ignored-link").symlink_to("nowhere")
    assert of(mono) != first, "a symlink that is not ignored is seen"
    (mono / "api" / "ignored-link").unlink()
    assert of(mono) == first
    (mono / "api" / "main.js").chmod(0o755)
    second = of(mono)
    assert second != first
    (mono / "api" / "main.js").write_text("2")
    assert of(mono) not in (first, second)


def test_an_edit_under_skip_worktree_and_an_ignored_file_of_git_are_seen(mono: Path) -> None:
    first = of(mono)
    subprocess.run(["git", "-C", str(mono), "update-index", "--skip-worktree", "api/main.js"], check=True)
    (mono / "api" / "main.js").write_text("hidden")
    second = of(mono)
    (mono / ".gitignore").write_text("dist\n")
    (mono / "api" / "dist").write_text("built")
    assert len({first, second, of(mono)}) == 3


def test_the_cache_never_hides_an_edit(mono: Path, tmp_path: Path) -> None:
    cache, path = tmp_path / "cache.json", mono / "api" / "main.js"
    os.utime(path, (time.time() - 100, time.time() - 100))
    seen = {of(mono, cache)}
    for number in range(20):
        path.write_text(chr(97 + number))  # the same size, as fast as it goes
        seen.add(of(mono, cache))
    assert len(seen) == 21


@pytest.mark.parametrize(
    ("rules", "path", "out"),
    [
        ("node_modules", "node_modules/a", True),
        ("node_modules", "apps/node_modules/a", False),
        ("**/node_modules", "apps/node_modules/a", True),
        ("*.md\n!README.md", "README.md", False),
        ("*.md\n!README.md", "OTHER.md", True),
        ("docs/*\n!docs/keep", "docs/keep/x", False),
        ("/dist/", "dist/x", True),
        ("# comment\n\r\na?c", "abc", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/b", True),
    ],
)
def test_ignore_rules_are_dockers(rules: str, path: str, out: bool) -> None:
    assert ignored(parse_ignore(rules), path) == out


def test_a_dockerfile_says_what_it_can_see() -> None:
    text = (
        "ARG V=1\nFROM node:$V AS deps\n# COPY not this\nCOPY --chown=1 a.json \\\n  b/ ./\n"
        'COPY --from=deps /x /y\nCOPY ["c d", "/"]\nRUN --mount=type=bind,source=e,target=/e true\n'
        "COPY <<EOF /f\nCOPY nor this\nEOF\nFROM deps\nCOPY --from=alpine:3 /z /z\n"
    )
    seen = scan(text)
    assert seen.sources == ("a.json", "b", "c d", "e")
    assert [image for image, _ in seen.bases] == ["node:1", "alpine:3"]
    assert scan("FROM x\nARG D\nCOPY $D ./\n").sources == (".",)


def test_the_stack_file_names_exactly_the_libraries_that_each_dockerfile_copies() -> None:
    stack = load_stack(ROOT / "deploy" / "stack.yaml")
    mono = ROOT / "examples" / "cortex-os"
    for name, service in stack.services.items():
        sources = scan((mono / service.build.dockerfile).read_text()).sources
        copied = {lib for lib, model in stack.libraries.items() if model.path in sources}
        assert set(service.bundles) == copied, name
