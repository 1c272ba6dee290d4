"""Does a store keep the promise that everything rests on: that what exists is never overwritten?"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import StreamStore, Writer


def probe(store: StreamStore, where: str, *, prefix: str = "", writer: Callable[[str], Writer] | None = None) -> None:
    """Create an object, try to replace it (whole, and through `writer`), read it back, remove it.

    `writer` defaults to the store's own. Raises `OpsError` when the store overwrites, forgets or keeps what was
    removed.
    """
    key = f"{prefix}probe/{uuid.uuid4().hex}"
    try:
        if not store.put_if_absent(key, b"first"):
            raise OpsError(f"{where} refuses to create {key}, which does not exist")
        replaced = store.put_if_absent(key, b"second")
        if not replaced:
            with (writer or store.open_writer)(key) as stream:
                stream.write(b"third")
                replaced = stream.commit()
        if replaced or store.get(key) != b"first":
            raise OpsError(
                f"{where} overwrites objects that exist, so backups and release records would not be safe there",
                remedy="use a store that honours If-None-Match on puts and on completed uploads",
            )
    finally:
        with suppress(OpsError):
            store.delete(key)
    if store.get(key) is not None:
        raise OpsError(f"{where} still has {key} after it was removed")
