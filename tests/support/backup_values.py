"""Small whole values of the backup domain, for tests that need one and do not care which."""

from __future__ import annotations

from typing import Any

from cortex_ops.backup.manifest import Facts, Manifest, Part, SourceRecord
from cortex_ops.kernel.values import ImageRef

SET = "20260102T030405Z-abc"


def a_record(**changes: Any) -> SourceRecord:
    parts = tuple(
        Part(name=name, key=f"backups/local/{SET}/postgres.{name}.sql.zst.age", size=1, sha256="0", plain_size=1)
        for name in ("globals", "database", "data")
    )
    given = {
        "store": "postgres",
        "kind": "postgres",
        "data_time": "2026-01-02T03:04:05.000Z",
        "image": ImageRef(fingerprint="f", image_id="sha256:1", engine_id="e"),
        "server_version": "15.1",
        "client_version": "15.1",
        "details": {},
        "parts": parts,
        "facts": Facts(algorithm="a"),
    }
    return SourceRecord.model_validate({**given, **changes})


def a_manifest(set_id: str = SET, environment: str = "local", **changes: Any) -> Manifest:
    given = {
        "environment": environment,
        "set_id": set_id,
        "stack": "cortex",
        "run_id": "r",
        "actor": "a",
        "started_at": "2026-01-02T03:04:05.000Z",
        "data_time": "2026-01-02T03:04:05.000Z",
        "finished_at": "2026-01-02T03:04:06.000Z",
        "release": 1,
        "source_revision": "x",
        "tools": {},
        "recipients": ("age1x",),
        "sources": (),
        "warnings": ("ünïcode",),
    }
    return Manifest.model_validate({**given, **changes})
