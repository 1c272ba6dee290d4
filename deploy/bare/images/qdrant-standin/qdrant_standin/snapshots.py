"""Snapshots of one collection as files: made, listed, deleted, recovered.

The engine unpacks snapshots and makes none, so one is made here: a tar of the flushed shard, which the engine's
own unpacking reads back, with the collection's parameters beside it. The write-ahead log is part of it: a shard
without its log counts operations from 0 again, and silently ignores every change to a point of a later number.
Only the stand-in reads it: it is no way to move data to a real Qdrant. Aliases are not in it, as in the real one.
"""

from __future__ import annotations

import datetime
import json
import os
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import qdrant_edge as edge

from qdrant_standin.collection import Collection
from qdrant_standin.errors import Refused, not_found, not_served, wrong_input
from qdrant_standin.files import load_json, save_json, sync, sync_tree
from qdrant_standin.storage import PARTIAL, Storage, checked_creation

FORMAT = "qdrant stand-in 1"
SHARD = ("edge_config.json", "segments", "wal")
DEADLINE = 600.0  # seconds for one archive


class Snapshots:
    """All snapshots, `<folder>/<collection>/<name>`."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        self.folder, self.storage = folder, storage
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{PARTIAL}*"):
            shutil.rmtree(leftover)

    def work_folder(self) -> tempfile.TemporaryDirectory[str]:
        """Beside the snapshots, so that what is finished there is renamed into place; never the small /tmp."""
        return tempfile.TemporaryDirectory(prefix=PARTIAL, dir=self.folder)

    def make(self, name: str) -> dict[str, Any]:
        collection = self.storage.get(name)
        home = self.folder / collection.name
        now = datetime.datetime.now(datetime.UTC)
        with self.work_folder() as work:
            archive = Path(work) / "archive"
            about = {"format": FORMAT, "vectors": collection.config["vectors"]}
            (Path(work) / "collection.json").write_text(json.dumps(about))
            with collection.lock:  # nothing is written between the flush and the last file
                collection.flush()
                _pack(archive, Path(work), collection.shard_folder)
            sync(archive)
            home.mkdir(exist_ok=True)
            stamp = now.strftime("%Y-%m-%d-%H-%M-%S")
            target = home / f"{collection.name}-{secrets.randbits(48):015d}-{stamp}.snapshot"
            archive.rename(target)
        sync(home)
        return _describe(target)

    def list(self, name: str) -> list[dict[str, Any]]:
        home = self.folder / self.storage.get(name).name
        return [_describe(path) for path in sorted(home.glob("*.snapshot"))]

    def path(self, name: str, snapshot: str) -> Path:
        path = self.folder / self.storage.get(name).name / snapshot
        if Path(snapshot).name != snapshot or not snapshot.endswith(".snapshot") or not path.is_file():
            raise not_found(f"Snapshot {snapshot} not found")
        return path

    def delete(self, name: str, snapshot: str) -> bool:
        path = self.path(name, snapshot)
        path.unlink()
        sync(path.parent)
        return True

    def at(self, location: str) -> Path:
        """The file of a `file://` address, which must be one of our own snapshots."""
        url = urlsplit(location)
        if url.scheme in ("http", "https"):
            raise not_served("a recovery from an http address; upload the snapshot instead")
        path = Path(os.path.realpath(unquote(url.path)))
        if url.scheme != "file" or not path.is_relative_to(os.path.realpath(self.folder)) or not path.is_file():
            raise wrong_input(f"Snapshot {location!r} is no file below {self.folder}")
        return path

    def recover(self, name: str, archive: Path) -> bool:
        """Replace the collection's data, or make the collection, from an archive. The new shard is complete, on
        the disk and loaded once before the old one is given up; one atomic write of the configuration switches."""
        with self.storage.work_folder() as work:
            fresh = Path(work) / "fresh"
            about = _unpack(archive, fresh)
            sync_tree(fresh)
            with self.storage.lock:
                target = self.storage.aliases.get(name, name)
                collection = self.storage.collections.get(target)
                if collection is None:
                    collection = self.storage.create(target, {"vectors": about["vectors"]})
                elif collection.config["vectors"] != about["vectors"]:
                    raise wrong_input("Snapshot is not compatible with existing collection: vectors differ")
                _switch(collection, fresh)
        return True


def _pack(archive: Path, work: Path, shard: Path) -> None:
    """GNU tar, because the engine's files are mostly holes (64 MB hold 100 kB) and Python writes no sparse tars."""
    command = ["tar", "--create", "--sparse", "--format=gnu", f"--file={archive}"]
    command += ["-C", str(work), "collection.json", "-C", str(shard), *SHARD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    if done.returncode:
        raise Refused(500, f"Service internal error: the snapshot could not be written: {done.stderr.strip()[-300:]}")


def _unpack(archive: Path, fresh: Path) -> dict[str, Any]:
    """Unpack into a new folder, and prove that the engine loads it. Raises `Refused` for anything else."""
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                parts = Path(member.name).parts
                if not (member.isreg() or member.isdir()) or member.name.startswith("/") or ".." in parts:
                    raise wrong_input(f"the snapshot holds {member.name!r}, which no snapshot does")
        fresh.mkdir()
        edge.EdgeShard.unpack_snapshot(str(archive), str(fresh))
        about = load_json(fresh / "collection.json")
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise wrong_input("this is no snapshot that the stand-in made; a real Qdrant's cannot be read here")
        if missing := [name for name in SHARD if not (fresh / name).exists()]:
            raise wrong_input(f"the snapshot lacks {missing[0]!r}")
        checked_creation({"vectors": about.get("vectors")})
        shard = edge.EdgeShard.load(str(fresh))
        shard.flush()
        shard.close()
    except (Refused, OSError):
        raise
    except Exception as error:
        raise wrong_input(f"the snapshot cannot be read: {error}") from error
    return about


def _switch(collection: Collection, fresh: Path) -> None:
    with collection.lock:
        old = collection.shard_folder
        config = {**collection.config, "shard": f"shard-{secrets.token_hex(6)}"}
        new = collection.folder / config["shard"]
        fresh.rename(new)
        sync(collection.folder)
        shard = edge.EdgeShard.load(str(new))
        save_json(collection.folder / "config.json", config)
        collection.shard.close()
        collection.shard, collection.config = shard, config
        shutil.rmtree(old, ignore_errors=True)  # else the next start removes it


def _describe(path: Path) -> dict[str, Any]:
    found = path.stat()
    made = datetime.datetime.fromtimestamp(found.st_mtime, datetime.UTC)
    return {"name": path.name, "creation_time": made.strftime("%Y-%m-%dT%H:%M:%S"), "size": found.st_size}
