"""A store in a folder. An object is linked into place whole and durable, or not at all.

Unfinished writes live in `.partial/`, each locked by the process that writes it: the kernel drops the lock
when that process dies, however it dies, and that is how `reap` tells dead from living.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.files import no_space, sync_folder
from cortex_ops.kernel.store import Reader, Writer
from cortex_ops.store.keys import check_key, check_prefix

PARTIAL = ".partial"
LOCKS = ".locks"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LocalStore:
    """See `kernel.store.StreamStore`. Folders appear with their first object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        return self.root / check_key(key)

    def get(self, key: str) -> bytes | None:
        path = self.path(key)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise _failed(path, "read", error) from error

    def list(self, prefix: str) -> list[str]:
        base = self.root / check_prefix(prefix).rpartition("/")[0]
        found: list[str] = []

        def unreadable(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise _failed(Path(error.filename), "listed", error) from error

        for where, folders, names in os.walk(base, onerror=unreadable):
            folders[:] = [name for name in folders if not name.startswith(".")]
            at = Path(where).relative_to(self.root)
            keys = ((at / name).as_posix() for name in names if not name.startswith("."))
            found += [key for key in keys if key.startswith(prefix)]
        return sorted(found)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if self.path(key).is_file():
            return False
        with self.open_writer(key) as writer:
            writer.write(data)
            return writer.commit()

    def delete(self, key: str) -> None:
        path = self.path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise _failed(path, "removed", error) from error
        self._remove_empty(path.parent)

    def open_writer(self, key: str) -> LocalWriter:
        path = self.path(key)
        with _named(path):
            make_folder(self.root / PARTIAL)
            return LocalWriter(path, self.root / PARTIAL)

    def open_reader(self, key: str) -> LocalReader:
        return LocalReader(self.path(key))

    @contextlib.contextmanager
    def lock(self, name: str, *, holder: str, seconds: float = 0.0) -> Iterator[None]:
        """A kernel lock: it ends with the process, so `seconds` is not needed here."""
        path = self.root / LOCKS / check_key(name)
        with _named(path):
            make_folder(path.parent)
            handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise _failed(path, "locked", error) from error
                other = os.pread(handle, 500, 0).decode(errors="replace").strip() or "another process"
                raise RefusedError(f"{name} is held by {other}", remedy="wait for it to end") from error
            with contextlib.suppress(OSError):  # who holds it is a courtesy; a full disk does not prevent the lock
                os.ftruncate(handle, 0)
                os.pwrite(handle, holder.encode(), 0)
            yield
        finally:
            os.close(handle)

    def reap(self, prefix: str, *, say: Callable[[str], None] = lambda _text: None) -> int:
        """Unfinished writes of dead processes, whatever key they were for."""
        count = 0
        with contextlib.suppress(FileNotFoundError):
            for path in (self.root / PARTIAL).iterdir():
                if _remove_if_dead(path):
                    say(f"removed {path.name}, left unfinished by a run that was killed")
                    count += 1
        return count

    def _remove_empty(self, folder: Path) -> None:
        """Folders exist only for their objects; one that is filled at this moment stays."""
        while folder != self.root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


class LocalWriter(Writer):
    """A locked hidden file that `commit` links to its name."""

    def __init__(self, path: Path, partial: Path) -> None:
        self.path = path
        self._temporary, self._handle = _create_locked(partial, path.name)
        self._open = True

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        with _named(self.path):
            while view:
                view = view[os.write(self._handle, view) :]
        return len(data)

    def commit(self) -> bool:
        try:
            with _named(self.path):
                os.fchmod(self._handle, 0o644)
                os.fsync(self._handle)
                return self._link()
        finally:
            self.abort()

    def _link(self) -> bool:
        for _ in range(5):
            try:
                make_folder(self.path.parent)
                os.link(self._temporary, self.path)
            except FileExistsError:
                return False
            except FileNotFoundError:
                continue  # the folder was empty and was removed at this moment
            sync_folder(self.path.parent)
            return True
        raise OpsError(f"{self.path.parent} disappears while {self.path.name} is written")

    def abort(self) -> None:
        if self._open:
            self._open = False
            with contextlib.suppress(FileNotFoundError):
                self._temporary.unlink()
            os.close(self._handle)


class LocalReader(Reader):
    """A file that is read to the length it had when it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed(path, "read", error) from error
        self.size = os.fstat(self._handle).st_size
        self._left = self.size
        self._open = True

    def read(self, size: int = 65536) -> bytes:
        try:
            data = os.read(self._handle, min(size, self._left))
        except OSError as error:
            raise _failed(self.path, "read", error) from error
        if not data and self._left and size:
            raise OpsError(f"{self.path} became shorter while it was read")
        self._left -= len(data)
        return data

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._handle)


def make_folder(folder: Path) -> None:
    """Create it durably: a folder entry that is lost in a crash takes the object with it."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        try:
            new.mkdir()
        except FileExistsError:  # made by another at this moment, or no folder at all
            if not new.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(new)) from None
        sync_folder(new.parent)


def _create_locked(partial: Path, name: str) -> tuple[Path, int]:
    """A new file that is locked before anyone can find it dead: created and locked until both are true."""
    while True:
        path = partial / f"{secrets.token_hex(8)}-{name}"
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_nlink:
                return path, handle
        except BlockingIOError:
            pass
        os.close(handle)  # a reaper took it between the two calls


def _remove_if_dead(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise no_space(path) from error
        raise _failed(path, "written", error) from error


def _failed(path: Path, done: str, error: OSError) -> OpsError:
    return OpsError(f"{path} cannot be {done}: {error.strerror or error}")
