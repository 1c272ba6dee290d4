"""One file out of a multipart/form-data body, streamed to disk: a snapshot may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from pathlib import Path

from qdrant_standin.errors import wrong_input

CHUNK = 1 << 20
LONGEST_HEADERS = 16 * 1024


def boundary_of(content_type: str) -> bytes:
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise wrong_input("a snapshot is uploaded as multipart/form-data with a boundary")
    return boundary.encode("latin-1", "replace")


class Parts:
    """Reads a body from `read(limit) -> bytes` (empty at its end), part by part."""

    def __init__(self, read: Callable[[int], bytes], boundary: bytes) -> None:
        self._read = read
        self._mark = b"\r\n--" + boundary
        self._held = b"\r\n"  # so that the first boundary looks like all others

    def save(self, name: str, target: Path) -> None:
        """Write the part of this name. Raises `Refused` when there is none, or the body ends too early."""
        self._skip_to_mark(None)
        while True:
            if self._take(2) == b"--":
                raise wrong_input(f"the body has no part called {name!r}")
            if self._headers(name):
                with target.open("wb") as file:
                    self._skip_to_mark(file.write)
                return
            self._skip_to_mark(None)

    def _more(self) -> None:
        data = self._read(CHUNK)
        if not data:
            raise wrong_input("the body ends in the middle of a part")
        self._held += data

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _headers(self, name: str) -> bool:
        """Whether the part that begins here has this name."""
        self._held = b"\r\n" + self._held  # so that a part without headers ends them too
        while b"\r\n\r\n" not in self._held:
            if len(self._held) > LONGEST_HEADERS:
                raise wrong_input("a part's headers are too long")
            self._more()
        text, self._held = self._held.split(b"\r\n\r\n", 1)
        for line in text.decode("latin-1").split("\r\n"):
            key, _, value = line.partition(":")
            if key.strip().lower() == "content-disposition":
                header = Message()
                header["content-disposition"] = value.strip()
                return header.get_param("name", header="content-disposition") == name
        return False

    def _skip_to_mark(self, write: Callable[[bytes], object] | None) -> None:
        while (at := self._held.find(self._mark)) < 0:
            keep = len(self._mark) - 1
            if write is not None:
                write(self._held[:-keep])
            self._held = self._held[-keep:]
            self._more()
        if write is not None:
            write(self._held[:at])
        self._held = self._held[at + len(self._mark) :]
