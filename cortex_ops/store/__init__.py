"""Create-once objects in a folder or an S3 bucket, behind the questions of `kernel.store`.

What is kept in a store (releases, builds, backups) is the business of the domains that keep it.
"""

from __future__ import annotations

from pathlib import Path

from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.errors import InputError
from cortex_ops.kernel.settings import Settings
from cortex_ops.kernel.store import StreamStore


def open_store(settings: Settings, *, clock: Clock = SYSTEM) -> StreamStore:
    """The store that settings name: a folder, or `s3://bucket/prefix`.

    A bucket is probed once here; raises `OpsError` when it cannot be reached or overwrites what exists.
    """
    if not settings.store.startswith("s3://"):
        from cortex_ops.store.local import LocalStore

        return LocalStore(Path(settings.store))
    bucket, _, prefix = settings.store.removeprefix("s3://").strip("/").partition("/")
    if not bucket:
        raise InputError(f"CORTEX_OPS_STORE: found {settings.store!r}, expected s3://bucket or s3://bucket/prefix")
    from cortex_ops.adapters.s3 import make_client, s3_settings
    from cortex_ops.store.probe import probe
    from cortex_ops.store.s3 import S3Store
    from cortex_ops.store.s3_streams import S3Writer
    from cortex_ops.store.wrappers import Prefixed, Retrying

    options = s3_settings(settings)
    plain = S3Store(make_client(options), bucket, endpoint=options.endpoint, clock=clock)
    probe(
        plain,
        settings.store,
        prefix=f"{prefix}/" if prefix else "",
        writer=lambda key: S3Writer(plain, key, upload=True),
    )
    return Retrying(Prefixed(plain, prefix) if prefix else plain, clock=clock)
