"""A fingerprint changes with what a build can see, and with nothing else."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.source.fingerprint import HashCache, fingerprint


@pytest.fixture
def mono(tmp_path: Path) -> Path:
    root = tmp_path / "mono"
    (root / "api").mkdir(parents=True)
    (root / "other").mkdir()
    (root / "api" / "main.js").write_text("1")
    (root / "api" / "Dockerfile").write_text("FROM base\nCOPY api ./\n")
    (root / "other" / "x").write_text("1")
    (root / ".dockerignore").write_text("**/ignored\n")
    git(root.parent, "init", "-q", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    return root


def git(folder: Path, *args: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    subprocess.run(["git", "-C", str(folder), *who, *args], check=True)


def of(root: Path, cache: Path | None = None, **more: dict[str, str]) -> str:
    kept = HashCache(cache)
    value = fingerprint(root, "api/Dockerfile", cache=kept, **more)  # type: ignore[arg-type]
    kept.save()
    return value


def dockerfile(root: Path, text: str) -> str:
    (root / "api" / "Dockerfile").write_text(text)
    return of(root)


def test_bytes_and_modes_count_and_other_folders_and_ignored_files_do_not(mono: Path) -> None:
    first = of(mono)
    (mono / "other" / "x").write_text("2")
    (mono / "api" / "ignored").write_text("2")
    (mono / ".gitignore").write_text("x\n")
    assert of(mono) == first
    (mono / "api" / "main.js").chmod(0o755)
    second = of(mono)
    (mono / "api" / "main.js").write_text("2")
    assert len({first, second, of(mono)}) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda api: (api / "empty").mkdir(),
        lambda api: (api / "link").symlink_to("nowhere"),
        lambda api: os.mkfifo(api / "pipe"),
        lambda api: (api / "main.js").chmod(0o4755),
        lambda api: (api / "main.js").rename(api / "moved.js"),
        lambda api: os.link(api / "main.js", api / "again.js"),
    ],
    ids=["empty folder", "dangling link", "fifo", "setuid", "rename", "hard link"],
)
def test_everything_that_the_builder_sends_counts(mono: Path, change: Callable[[Path], object]) -> None:
    first = of(mono)
    change(mono / "api")
    assert of(mono) != first


def test_modes_of_folders_below_a_source_count(mono: Path) -> None:
    (mono / "api" / "sub").mkdir()
    (mono / "api" / "sub").chmod(0o755)
    first = of(mono)
    (mono / "api" / "sub").chmod(0o700)
    assert of(mono) != first


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="extended attributes are read on Linux only")
def test_extended_attributes_count_as_the_builder_sends_them(mono: Path) -> None:
    first = of(mono)
    os.setxattr(mono / "api" / "main.js", "user.cortex", b"1")
    assert of(mono) != first


def test_an_edit_under_skip_worktree_or_assume_unchanged_and_a_file_that_git_ignores_are_seen(mono: Path) -> None:
    seen = {of(mono)}
    git(mono, "update-index", "--skip-worktree", "api/main.js")
    (mono / "api" / "main.js").write_text("hidden")
    seen.add(of(mono))
    git(mono, "update-index", "--no-skip-worktree", "--assume-unchanged", "api/main.js")
    (mono / "api" / "main.js").write_text("hidden too")
    seen.add(of(mono))
    (mono / ".gitignore").write_text("dist\n")
    (mono / "api" / "dist").write_text("built")
    seen.add(of(mono))
    (mono / "api" / "dist").write_text("built again")
    assert len({*seen, of(mono)}) == 5


def test_a_source_that_leads_through_a_link_counts_where_it_leads(mono: Path) -> None:
    (mono / "releases").mkdir()
    (mono / "releases" / "file").write_text("1")
    (mono / "current").symlink_to("releases")
    (mono / "links").mkdir()
    (mono / "links" / "one").symlink_to("../releases")
    for text in ("COPY current /", "COPY current/file /", "COPY links/* /", "COPY c?rrent /"):
        (mono / "releases" / "file").write_text("1")
        first = dockerfile(mono, f"FROM base\n{text}\n")
        (mono / "releases" / "file").write_text("2")
        assert of(mono) != first, text


def test_a_glob_counts_what_it_matches_and_nothing_else(mono: Path) -> None:
    first = dockerfile(mono, "FROM base\nCOPY api/*.js /\n")
    (mono / "api" / "notes.md").write_text("x")
    assert of(mono) == first
    (mono / "api" / "new.js").write_text("x")
    second = of(mono)
    assert second != first
    third = dockerfile(mono, "FROM base\nCOPY api/[a-m]ain.js /\n")
    (mono / "api" / "main.js").write_text("2")
    assert of(mono) not in (first, second, third)


def test_dockerfile_arguments_target_and_base_digests_count(mono: Path) -> None:
    seen = {
        of(mono),
        of(mono, arguments={"A": "1"}),
        fingerprint(mono, "api/Dockerfile", cache=HashCache(None), target="runtime"),
        of(mono, bases={"base": "sha256:1"}),
        of(mono, bases={"base": "sha256:2"}),
        dockerfile(mono, "FROM base\nCOPY api ./\n# a comment\n"),
    }
    assert len(seen) == 6
    assert of(mono, bases={"another": "sha256:1"}) == of(mono)


def test_names_and_ignore_files_that_are_no_utf8_are_no_traceback(mono: Path) -> None:
    first = of(mono)
    with open(os.fsencode(mono / "api") + b"/\xff\xfe", "w") as stream:  # noqa: PTH123 - a name of bytes
        stream.write("x")
    second = of(mono)
    (mono / ".dockerignore").write_bytes(b"api/\xff\xfe\n**/ignored\n")
    assert second != first and of(mono) == first


def test_a_missing_dockerfile_is_one_sentence(mono: Path) -> None:
    with pytest.raises(InputError, match=r"api/Dockerfile does not exist → correct `build.dockerfile`"):
        (mono / "api" / "Dockerfile").unlink()
        of(mono)


@pytest.mark.parametrize("name", ["api/Dockerfile", ".dockerignore"])
def test_a_pipe_in_place_of_a_file_is_one_sentence_and_no_endless_wait(mono: Path, name: str) -> None:
    (mono / name).unlink()
    os.mkfifo(mono / name)
    with pytest.raises(InputError, match="it is no regular file"):
        of(mono)


def test_a_file_that_cannot_be_read_is_one_sentence(mono: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    dockerfile(mono, "FROM base\nCOPY api/main.js /\n")
    monkeypatch.setattr("hashlib.file_digest", refuse)
    with pytest.raises(OpsError, match=r"main\.js cannot be read: Permission denied"):
        of(mono)


def test_the_cache_never_hides_an_edit(mono: Path, tmp_path: Path) -> None:
    cache, path = tmp_path / "cache.json", mono / "api" / "main.js"
    os.utime(path, (time.time() - 100, time.time() - 100))
    seen = {of(mono, cache)}
    for number in range(20):
        path.write_text(chr(97 + number))  # the same size, as fast as it goes
        seen.add(of(mono, cache))
    assert len(seen) == 21


def test_a_time_that_was_set_back_hides_nothing(mono: Path, tmp_path: Path) -> None:
    cache, path = tmp_path / "cache.json", mono / "api" / "main.js"
    os.utime(path, (1_000_000_000, 1_000_000_000))
    time.sleep(2.1)  # old enough to be remembered
    first = of(mono, cache)
    assert cache.is_file() and b"main.js" in cache.read_bytes()
    path.write_text("2")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert of(mono, cache) != first


def test_a_broken_cache_costs_time_only(mono: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.json"
    first = of(mono)
    for text in ("", "{", "[]", '{"format": 2}', '{"format": 2, "files": 3}', '{"format": 1, "files": {}}'):
        cache.write_text(text)
        assert of(mono, cache) == first


def test_a_clean_tree_is_not_read_again(mono: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in mono.rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    # The time of a file's last change cannot be set back; the clock can be put forward.
    now = time.time_ns()
    monkeypatch.setattr("cortex_ops.source.hashes.time.time_ns", lambda: now + 10_000_000_000)
    cache = tmp_path / "cache.json"
    kept = HashCache(cache)
    first = fingerprint(mono, "api/Dockerfile", cache=kept)
    kept.save()

    def refuse(*_args: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr("cortex_ops.source.hashes.hashlib.file_digest", refuse)
    assert fingerprint(mono, "api/Dockerfile", cache=HashCache(cache)) == first
