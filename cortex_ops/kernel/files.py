"""Files that are written whole or not at all (temporary name, fsync, rename, fsync of the folder), or read wisely."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import process_start


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` durably. Raises `OpsError` naming the folder when the disk is full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        if error.errno == errno.ENOSPC:
            raise no_space(path) from error
        raise


def no_space(path: Path) -> OpsError:
    """The message for a full disk: its own, since the remedy differs from every other failure."""
    return OpsError(f"no space left on the disk that holds {path.parent}", remedy="free some space and run again")


@contextlib.contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """A folder below `parent` for as long as the block takes; those that killed processes left there go, too.

    Raises `OpsError` when the disk is full, also for what the block writes.
    """
    pid = os.getpid()
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.iterdir():
            owner, _, since = left.name.partition("-")
            if not owner.isdigit() or process_start(int(owner)) != since.partition("-")[0]:
                shutil.rmtree(left, ignore_errors=True)
        name = f"{pid}-{process_start(pid)}-"
        # What a thread still writes while it is removed goes with the next one.
        with tempfile.TemporaryDirectory(prefix=name, dir=parent, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise no_space(parent / "a file") from error
        raise


def sync_folder(folder: Path) -> None:
    """Make a rename or link in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_regular(path: Path, limit: int) -> bytes:
    """At most `limit` + 1 bytes of a regular file, so that the caller sees which is too long.

    Raises `OSError` for anything else: opening a pipe would wait for its writer, and a device may never end.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "a pipe, socket or device, not a file", str(path))
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read(limit + 1)
    finally:
        os.close(handle)
