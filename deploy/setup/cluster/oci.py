"""An image of one static program as an archive that containerd imports: it takes no engine and no registry."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def archive(program: Path, name: str, target: Path, *, architecture: str = "amd64") -> None:
    """Write `target`: the image `name`, whose entry point is `/program`."""
    layer = _tar({"program": (program.read_bytes(), 0o755)})
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/program"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _described(CONFIG, config),
            "layers": [_described(LAYER, layer)],
        }
    )
    named = {**_described(MANIFEST, manifest), "annotations": {"io.containerd.image.name": name}}
    blobs = {f"blobs/sha256/{_digest(one)[7:]}": (one, 0o644) for one in (layer, config, manifest)}
    index = _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]})
    files = {**blobs, "index.json": (index, 0o644), "oci-layout": (_json({"imageLayoutVersion": "1.0.0"}), 0o644)}
    target.write_bytes(_tar(files))


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (data, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _described(kind: str, data: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}
