"""`.dockerignore` is read as Docker reads it. The same rules are held against the real builder in integration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import InputError
from cortex_ops.source.context import Context
from cortex_ops.source.hashes import HashCache
from cortex_ops.source.ignore import parse_ignore, read_ignore


def visible(root: Path, dockerfile: str = "Dockerfile") -> set[str]:
    found = Context(root, read_ignore(root, dockerfile), HashCache(None)).entries()
    return {path for path, entry in found if entry.kind != "d"}


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


@pytest.mark.parametrize(
    ("rules", "path", "out"),
    [
        ("node_modules", "node_modules/a", True),
        ("node_modules", "apps/node_modules/a", False),
        ("**/node_modules", "apps/node_modules/a", True),
        ("**/node_modules", "node_modules/a", True),
        ("*.md\n!README.md", "README.md", False),
        ("*.md\n!README.md", "OTHER.md", True),
        ("!README.md\n*.md", "README.md", True),
        ("docs/*\n!docs/keep", "docs/keep/x", False),
        ("docs\n!docs/keep", "docs/keep/x", False),
        ("docs\n!docs/keep", "docs/other/x", True),
        ("/dist/", "dist/x", True),
        ("# comment\n\r\na?c", "abc", True),
        ("a\r\n", "a", True),
        ("\ufeffa", "a", True),
        ("  # not a comment", "# not a comment", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/b", True),
        ("a/**", "a/b", True),
        ("**foo", "xfoo", True),
        ("../x", "x", False),
        ("a/../b", "b", True),
        ("a\x0bb", "b", False),
        ("[a-c]x", "bx", True),
        ("[^a-c]x", "bx", False),
        ("a\\*", "a*", True),
        ("a\\*", "ab", False),
        (".", "a", False),
        ("*\n!a", "a", False),
        ("*\n!**/b", "a/b", False),
        ("x/y\n!x", "x/y", True),  # a rule that had no say about a folder is not asked about it again
    ],
)
def test_ignore_rules_are_dockers(tmp_path: Path, rules: str, path: str, out: bool) -> None:
    tree(tmp_path, path)
    (tmp_path / ".dockerignore").write_text(rules, newline="")
    assert (path not in visible(tmp_path)) == out


@pytest.mark.parametrize("line", ["a[", "a\\", "[]", "!", "[a-]"])
def test_a_pattern_that_the_builder_would_refuse_is_named_with_its_line(line: str) -> None:
    with pytest.raises(InputError, match=r"\.dockerignore:2: "):
        parse_ignore(f"fine\n{line}\n")


def test_a_dockerfiles_own_ignore_file_wins(tmp_path: Path) -> None:
    tree(tmp_path, "a", "b", "api/Dockerfile")
    (tmp_path / ".dockerignore").write_text("a\n")
    (tmp_path / "api" / "Dockerfile.dockerignore").write_text("b\n")
    assert "b" in visible(tmp_path) and "a" not in visible(tmp_path)
    assert "a" in visible(tmp_path, "api/Dockerfile") and "b" not in visible(tmp_path, "api/Dockerfile")


def test_links_are_not_followed_and_an_ignored_broken_one_does_no_harm(tmp_path: Path) -> None:
    tree(tmp_path, "real/file")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "broken").symlink_to("/nowhere/at/all")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / ".dockerignore").write_text("broken\n.dockerignore\n")
    assert visible(tmp_path) == {"real/file", "link", "loop"}


def test_an_ignored_folder_that_may_not_be_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "data/secret", "a")
    (tmp_path / ".dockerignore").write_text("data\n!data/x\n.dockerignore\n")
    real = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("/data"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert visible(tmp_path) == {"a"}
