"""The revision that a release is recorded under, and whether the folder is what that revision says. Real git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import OpsError
from cortex_ops.source.git import inspect


def git(folder: Path, *args: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    (folder / "mono").mkdir()
    (folder / "mono" / "a b").write_text("1")
    (folder / "outside").write_text("1")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "one")
    return folder


def test_dirt_is_that_of_the_folder_and_not_of_the_repository_around_it(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r")
    mono = repo / "mono"
    (repo / "outside").write_text("2")
    (repo / "new").write_text("2")
    state = inspect(mono)
    assert (state.revision, state.dirty, state.dirty_files) == (git(repo, "rev-parse", "HEAD"), False, ())
    (mono / "a b").write_text("2")
    (mono / "ü").write_text("2")
    state = inspect(mono)
    assert state.dirty and state.dirty_files == ("a b", "ü") and state.untracked == ("ü",)


def test_a_rename_counts_as_both_names(tmp_path: Path) -> None:
    mono = repository(tmp_path / "r") / "mono"
    git(mono, "mv", "a b", "c")
    assert inspect(mono).dirty_files == ("a b", "c")


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
def test_an_edit_that_git_was_told_to_overlook_is_dirt_and_a_sparse_checkout_is_not(
    tmp_path: Path, flag: str
) -> None:
    mono = repository(tmp_path / "r") / "mono"
    git(mono, "update-index", flag, "a b")
    assert not inspect(mono).dirty
    (mono / "a b").write_text("2")
    assert inspect(mono).dirty_files == ("a b",)
    (mono / "a b").unlink()
    assert not inspect(mono).dirty


def test_a_worktree_is_read_like_any_other(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r")
    git(repo, "worktree", "add", "-q", str(tmp_path / "w"))
    assert (tmp_path / "w" / ".git").is_file()
    assert inspect(tmp_path / "w" / "mono").revision == git(repo, "rev-parse", "HEAD")


def test_submodules_are_named_and_one_that_is_absent_or_changed_is_dirt(tmp_path: Path) -> None:
    library, repo = repository(tmp_path / "library"), repository(tmp_path / "r")
    git(repo, "submodule", "--quiet", "add", str(library), "mono/lib x")
    git(repo, "commit", "-qm", "two")
    state = inspect(repo / "mono")
    assert state.submodules == ("lib x",) and not state.dirty
    (repo / "mono" / "lib x" / "outside").write_text("2")
    assert inspect(repo / "mono").dirty_files == ("lib x",)
    git(tmp_path, "clone", "-q", str(repo), "c")
    assert inspect(tmp_path / "c" / "mono").dirty_files == ("lib x (submodule, not checked out)",)


def test_no_repository_no_commit_and_no_file_in_it_have_no_revision_and_say_why(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "x").write_text("1")
    assert "not in a git repository" in inspect(plain).explanation
    git(plain, "init", "-q")
    assert "has no commit yet" in inspect(plain).explanation
    around = repository(tmp_path / "r")
    (around / ".gitignore").write_text("hidden\n")
    (around / "hidden").mkdir()
    (around / "hidden" / "x").write_text("1")
    state = inspect(around / "hidden")
    assert (state.revision, state.dirty) == ("none", True) and "says nothing of them" in state.explanation


def test_the_callers_own_git_variables_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = repository(tmp_path / "one"), repository(tmp_path / "other")
    (other / "mono" / "more").write_text("1")
    git(other, "add", "-A")
    git(other, "commit", "-qm", "two")
    expected = inspect(one / "mono")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert inspect(one / "mono") == expected


def test_a_configured_monitor_program_is_not_started(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r")
    program = tmp_path / "monitor"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    git(repo, "config", "core.fsmonitor", str(program))
    inspect(repo / "mono")
    assert not (tmp_path / "started").exists()


def test_a_repository_of_somebody_else_is_one_sentence_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = repository(tmp_path / "r")
    programs = tmp_path / "bin"
    programs.mkdir()
    # Git's own switch for its own tests; giving the folder away would need root.
    (programs / "git").write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n')
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    with pytest.raises(OpsError, match=r"belongs to another user → git config --global --add safe\.directory"):
        inspect(repo / "mono")


def test_a_broken_repository_is_not_taken_for_none(tmp_path: Path) -> None:
    repo = repository(tmp_path / "r")
    for path in (repo / ".git" / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(OpsError, match="git cannot read the repository of"):
        inspect(repo / "mono")


def test_a_machine_without_git_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(OpsError, match="git is not installed"):
        inspect(tmp_path)
