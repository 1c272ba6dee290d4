"""What git says of the monorepo's own folder. Git is asked, never re-implemented: `.git` may be a file."""

from __future__ import annotations

import os
from pathlib import Path

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import Completed, run
from cortex_ops.kernel.values import Value

NONE = "none"


class SourceState(Value):
    """`revision` is a commit id, or `none` outside a repository. `dirty` is about this folder only."""

    revision: str
    dirty: bool
    dirty_files: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()


def inspect(folder: Path) -> SourceState:
    """Raises `OpsError` when git refuses to answer (ownership, corruption)."""
    if not folder.is_dir():
        raise OpsError(f"the monorepo {folder} does not exist", remedy="correct `source.path` in the stack file")
    head = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if head.code != 0:
        inside = _git(folder, "rev-parse", "--is-inside-work-tree")
        if "dubious ownership" in inside.stderr:
            raise OpsError(
                f"git refuses to read {folder}: it belongs to another user",
                remedy=f"git config --global --add safe.directory {folder}",
            )
        return SourceState(revision=NONE, dirty=True, dirty_files=("(no commit)",))
    status = _git(folder, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--", ".")
    if status.code != 0:
        raise OpsError(f"git status in {folder} failed: {(status.tail(1) or ['no reason given'])[0]}")
    changed = tuple(sorted(_changed(status.stdout)))
    submodules = _git(folder, "submodule", "status", "--recursive")
    names = tuple(line.split()[1] for line in submodules.stdout.splitlines() if len(line.split()) > 1)
    return SourceState(revision=head.stdout.strip(), dirty=bool(changed), dirty_files=changed, submodules=names)


def _changed(output: str) -> list[str]:
    fields = output.split("\0")
    out = []
    while fields:
        entry = fields.pop(0)
        if len(entry) > 3:
            out.append(entry[3:])
            if entry[0] in "RC":  # a rename is followed by the old name
                fields.pop(0)
    return out


def _git(folder: Path, *args: str) -> Completed:
    # A caller's own GIT_DIR or index (a hook's, say) would answer for another repository.
    hidden = {name: "" for name in os.environ if name.startswith("GIT_") and name not in ("GIT_SSL_CAINFO",)}
    env = ["env", *(f"-u{name}" for name in sorted(hidden)), "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0"]
    return run([*env, "git", "-C", str(folder), *args], what="git", deadline=60, check=False)
