"""A store in a folder. An object is linked into place whole and durable, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from pathlib import Path

from cortex_ops.kernel.errors import InputError, OpsError
from cortex_ops.kernel.files import no_space, sync_folder

_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@+-]*(/[A-Za-z0-9][A-Za-z0-9._@+-]*)*$")
_HIDDEN = ".partial-"


def check_key(key: str) -> str:
    """Raise for a key that could leave the store or be mistaken for an unfinished write."""
    if not _KEY.match(key) or ".." in key or len(key) > 500:
        raise InputError(f"{key!r} is no valid key of a store")
    return key


class LocalStore:
    """See `kernel.store.Store`. Folders appear with their first object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        return self.root / check_key(key)

    def get(self, key: str) -> bytes | None:
        try:
            return self.path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise OpsError(f"{self.path(key)} cannot be read: {error.strerror}") from error

    def list(self, prefix: str) -> list[str]:
        base = self.root / prefix if prefix.endswith("/") else (self.root / prefix).parent
        found = []
        for folder, folders, names in os.walk(base):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if not name.startswith("."):
                    key = (Path(folder) / name).relative_to(self.root).as_posix()
                    if key.startswith(prefix):
                        found.append(key)
        return sorted(found)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        path = self.path(key)
        if path.exists():
            return False
        temporary = ""
        try:
            self._make_folder(path.parent)
            handle, temporary = tempfile.mkstemp(prefix=_HIDDEN, dir=path.parent)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fchmod(stream.fileno(), 0o644)
                os.fsync(stream.fileno())
            return publish(Path(temporary), path)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise no_space(path) from error
            raise OpsError(f"{path} cannot be written: {error.strerror}") from error
        finally:
            if temporary:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()

    def delete(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path(key).unlink()

    def _make_folder(self, folder: Path) -> None:
        """Create it durably: a folder entry that is lost in a crash takes the object with it."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for new in reversed(missing):
            new.mkdir(exist_ok=True)
            sync_folder(new.parent)


def publish(temporary: Path, path: Path) -> bool:
    """Link a finished file to its name; False when the name is taken. `link` never replaces."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    sync_folder(path.parent)
    return True
