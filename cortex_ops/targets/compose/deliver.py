"""Files for volumes (secrets, the proxy's configuration) as one tar stream, unpacked by one helper container.

Values travel over stdin only: no argument, no environment, no file on this host. Works with remote engines,
where a bind mount would not.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field


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
    """A tar whose top folders are the volumes' names. Deterministic; the same input twice is the same state."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for volume in volumes:
            folder = tarfile.TarInfo(volume.volume)
            folder.type, folder.mode, folder.uid, folder.gid = (
                tarfile.DIRTYPE,
                volume.root_mode,
                volume.uid,
                volume.uid,
            )
            tar.addfile(folder)
            for name in sorted(volume.files):
                data = volume.files[name]
                info = tarfile.TarInfo(f"{volume.volume}/{name}")
                info.size, info.mode, info.uid, info.gid = len(data), volume.file_mode, volume.uid, volume.uid
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def helper_arguments(image: str, volumes: list[VolumeFiles], labels: Mapping[str, str], name: str) -> list[str]:
    """`docker` arguments of the container that unpacks: no network, read-only, only what chown needs."""
    mounts = [part for v in volumes for part in ("-v", f"{v.volume}:/v/{v.volume}")]
    tags = [part for key, value in sorted(labels.items()) for part in ("--label", f"{key}={value}")]
    return [
        *("run", "--rm", "-i", "--name", name, "--network", "none", "--read-only", "--user", "0:0"),
        *("--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"),
        *("--security-opt", "no-new-privileges", "--log-driver", "none", "--pull", "never"),
        *tags,
        *mounts,
        *("--entrypoint", "tar", image, "-x", "-p", "--numeric-owner", "-C", "/v", "-f", "-"),
    ]
