"""What git says of the monorepo's own folder. Git is asked, never re-implemented: `.git` may be a file.

What enters a build is not decided here but in `context`; this is about the revision that a release is recorded under.
"""

from __future__ import annotations

import os
from pathlib import Path

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import Completed, run
from cortex_ops.kernel.values import Value

NONE = "none"


class SourceState(Value):
    """`revision` is a commit id, or `none` when no commit holds this folder; `explanation` then says why.

    `dirty`: the folder is not what the revision says. `dirty_files` (all, `untracked` included) are relative to the
    folder, whatever repository lies around it. `submodules` are those below the folder.
    """

    revision: str
    dirty: bool
    dirty_files: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()
    explanation: str = ""


def inspect(folder: Path) -> SourceState:
    """Raises `OpsError` when git is missing or refuses to answer (ownership, corruption)."""
    if not folder.is_dir():
        raise OpsError(f"the monorepo {folder} does not exist", remedy="correct `source.path` in the stack file")
    place = _git(folder, "rev-parse", "--show-prefix", "HEAD^{commit}")
    if place.code != 0:
        return _without_revision(folder)
    prefix, revision = place.stdout.rsplit("\n", 2)[:2]
    tracked = [_Tracked(line) for line in _listed(folder, "ls-files", "-v", "-s", "-z", "--", ".")]
    if not tracked:
        return _none(f"no file of {folder} is in the repository around it, so its revision says nothing of them")
    changed, untracked = _changed(folder, prefix)
    modules, absent = _submodules(folder) if any(one.mode == "160000" for one in tracked) else ((), [])
    hidden = _hidden(folder, prefix, tracked)
    everything = sorted({*changed, *untracked, *hidden, *(f"{name} (submodule, not checked out)" for name in absent)})
    return SourceState(
        revision=revision,
        dirty=bool(everything),
        dirty_files=tuple(everything),
        untracked=tuple(sorted(untracked)),
        submodules=modules,
    )


def _without_revision(folder: Path) -> SourceState:
    place = _git(folder, "rev-parse", "--show-prefix")
    if "not a git repository" in place.stderr:
        return _none(f"{folder} is not in a git repository, so what is built from it has no revision")
    branch = _git(folder, "symbolic-ref", "--quiet", "HEAD")
    unborn = branch.code == 0 and _git(folder, "show-ref", "--verify", "--quiet", branch.stdout.strip()).code == 1
    if place.code == 0 and unborn:
        return _none(f"the repository of {folder} has no commit yet")
    raise _refused(folder, place if place.code else _git(folder, "rev-parse", "HEAD^{commit}"))


def _none(why: str) -> SourceState:
    return SourceState(revision=NONE, dirty=True, dirty_files=("(no revision)",), explanation=why)


def _refused(folder: Path, answer: Completed) -> OpsError:
    if "dubious ownership" in answer.stderr:
        return OpsError(
            f"git refuses to read {folder}: it belongs to another user",
            remedy=f"git config --global --add safe.directory {folder}",
        )
    lines = answer.stderr.splitlines() or [f"exit code {answer.code}"]
    said = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1])
    return OpsError(f"git cannot read the repository of {folder}: {said}", remedy=f"git -C {folder} status")


def _changed(folder: Path, prefix: str) -> tuple[list[str], list[str]]:
    """Changed and untracked files, submodules with changes included. Renames count as both names."""
    options = ("--untracked-files=all", "--ignore-submodules=none", "--no-renames")
    changed: list[str] = []
    untracked: list[str] = []
    for entry in _listed(folder, "status", "--porcelain=v1", "-z", *options, "--", "."):
        (untracked if entry.startswith("??") else changed).append(entry[3:].removeprefix(prefix))
    return changed, untracked


class _Tracked:
    """A line of the index: tag, mode, blob, stage, name. The tag is `S` or in lower case where git must not look."""

    def __init__(self, line: str) -> None:
        facts, _, self.name = line.partition("\t")
        tag, self.mode, self.blob, _ = facts.split(" ")
        self.unwatched = tag == "S" or tag.islower()


def _hidden(folder: Path, prefix: str, tracked: list[_Tracked]) -> list[str]:
    """Edits that `git status` was told not to look for: files under skip-worktree or assume-unchanged.

    One that is not on disk is a sparse checkout's and no edit.
    """
    files = [one for one in tracked if one.unwatched and one.mode.startswith("100") and (folder / one.name).is_file()]
    if not files:
        return []
    odd = [one.name for one in files if "\n" in one.name]  # it cannot be asked for by name: no proof, so no trust
    files = [one for one in files if one.name not in odd]
    paths = "\n".join(prefix + one.name for one in files).encode(errors="surrogateescape")
    answer = _git(folder, "hash-object", "--stdin-paths", stdin=paths)
    if answer.code != 0:
        raise _refused(folder, answer)
    return odd + [one.name for one, now in zip(files, answer.stdout.split(), strict=True) if one.blob != now]


def _submodules(folder: Path) -> tuple[tuple[str, ...], list[str]]:
    """All submodules below the folder, and those that are not checked out: their files would be missing."""
    answer = _git(folder, "submodule", "status", "--recursive", "--", ".")
    if answer.code != 0 and "no submodule mapping" not in answer.stderr:
        raise _refused(folder, answer)
    names, absent = [], []
    for line in answer.stdout.splitlines():
        name = line[1:].split(" ", 1)[1].rsplit(" (", 1)[0] if line[0] != "-" else line[1:].split(" ", 1)[1]
        names.append(name)
        if line[0] == "-":
            absent.append(name)
    return tuple(names), absent


def _listed(folder: Path, *args: str) -> list[str]:
    answer = _git(folder, *args)
    if answer.code != 0:
        raise _refused(folder, answer)
    return [entry for entry in answer.stdout.split("\0") if entry]


def _git(folder: Path, *args: str, stdin: bytes | None = None) -> Completed:
    # A caller's own GIT_DIR or index (a hook's, say) would answer for another repository; a configured file-system
    # monitor would start a program.
    hidden = sorted(f"-u{name}" for name in os.environ if name.startswith("GIT_"))
    env = ["env", *hidden, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0"]
    argv = [*env, "git", "-c", "core.fsmonitor=false", "-C", str(folder), *args]
    answer = run(argv, what="git", deadline=60, check=False, stdin=stdin)
    if answer.code == 127:
        raise OpsError("git is not installed, and the revision of a release is asked of it", remedy="install git")
    return answer
