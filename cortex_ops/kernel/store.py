"""The four questions a store answers. Implementations are in `cortex_ops.store`."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Create-once objects by key (`a/b/c.json`). Keys use `/`; values are bytes."""

    def get(self, key: str) -> bytes | None:
        """The object, or None when there is none."""
        ...

    def list(self, prefix: str) -> list[str]:
        """All keys that start with `prefix`, sorted."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write durably; False (and no change) when the key already exists."""
        ...

    def delete(self, key: str) -> None:
        """Remove; nothing happens when there is none."""
        ...
