"""Files for volumes (secrets, the proxy's configuration) as one tar stream, which the engine unpacks.

Values travel over its connection only: no argument, no environment, no file on this host. Works with remote engines,
where a bind mount would not.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from cortex_ops.adapters.engine import Engine
from cortex_ops.targets.compose.helper import helper

_ROOT = "v"  # where the helper has the volumes


@dataclass(frozen=True)
class VolumeFiles:
    """What one volume holds: file name → bytes, all owned by `uid`. `root_mode` is the folder's own mode."""

    volume: str
    uid: int
    files: Mapping[str, bytes] = field(default_factory=dict)
    file_mode: int = 0o400
    root_mode: int = 0o500
    labels: Mapping[str, str] = field(default_factory=dict)


def archive(volumes: list[VolumeFiles]) -> bytes:
    """A tar with a folder for each volume's name. Deterministic; the same input twice is the same state."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for volume in volumes:
            folder = tarfile.TarInfo(f"{_ROOT}/{volume.volume}")
            folder.type, folder.mode, folder.uid, folder.gid = (
                tarfile.DIRTYPE,
                volume.root_mode,
                volume.uid,
                volume.uid,
            )
            tar.addfile(folder)
            for name in sorted(volume.files):
                data = volume.files[name]
                info = tarfile.TarInfo(f"{folder.name}/{name}")
                info.size, info.mode, info.uid, info.gid = len(data), volume.file_mode, volume.uid, volume.uid
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack(engine: Engine, image: str, volumes: list[VolumeFiles], labels: Mapping[str, str], name: str) -> None:
    """Fill the volumes through a container called `name` that never starts: no process, and nothing for one to do."""
    binds = [f"{v.volume}:/{_ROOT}/{v.volume}" for v in volumes]
    with helper(engine, name, image, ["true"], labels, what=f"filling {name}'s volumes", binds=binds) as made:
        engine.guard(engine.client.api.put_archive, made, "/", archive(volumes))
