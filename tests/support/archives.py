"""Images in memory as `docker image save` writes them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def image(*layers: bytes, config: dict[str, Any] | None = None) -> tuple[str, bytes]:
    """(its id, the archive)."""
    blobs: dict[str, bytes] = {}

    def put(data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return f"sha256:{digest}"

    manifest = {
        "config": {"digest": put(json.dumps(config or {"config": {}, "history": []}).encode())},
        "layers": [{"digest": put(layer)} for layer in layers],
    }
    identity = put(json.dumps(manifest).encode())
    return identity, tar(blobs)
