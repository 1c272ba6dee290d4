"""Create-once objects in a folder or an S3 bucket, behind the four questions of `kernel.store.Store`."""

from __future__ import annotations

from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.store import Store


def open_store(settings: Settings) -> Store:
    """The store that settings name: a folder, or `s3://bucket/prefix` (probed on first use)."""
    if settings.store.startswith("s3://"):
        from cortex_ops.store.s3 import open_s3

        return open_s3(settings)
    from pathlib import Path

    from cortex_ops.store.local import LocalStore

    return LocalStore(Path(settings.store))
