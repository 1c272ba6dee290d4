"""All collections and aliases below one folder, over restarts. One process at a time; knows nothing of HTTP.

`collections/<name>/config.json` is what makes a collection exist: it is written last when one is made, and
removed first when one is dropped, so that a crash leaves only leftovers, which the next start removes.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdrant_standin.collection import Collection
from qdrant_standin.errors import invalid, mapping, needed, not_found, not_served, only, optional, wrong_input
from qdrant_standin.files import load_json, save_json, sync

PARTIAL = ".partial-"
DISTANCES = ("Cosine", "Euclid", "Dot", "Manhattan")
LARGEST_VECTOR = 65536
FORBIDDEN = set('/\\<>:"|?*\0')


class CannotOpen(Exception):
    """Why the storage folder cannot be served, in one sentence."""


class Storage:
    """`lock` guards names: the set of collections, and the aliases."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.collections: dict[str, Collection] = {}
        try:
            self.folder = root / "collections"
            self.folder.mkdir(parents=True, exist_ok=True)
            self._held = (root / ".lock").open("w")
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotOpen(f"{root} is in use by another process: stop it first") from None
        except OSError as error:
            raise CannotOpen(f"{root} cannot be written: {error.strerror}; give the folder to this user") from error
        if (root / "raft_state.json").exists():
            raise CannotOpen(f"{root} holds the data of a real Qdrant: give the stand-in a volume of its own")
        for leftover in root.glob(f"{PARTIAL}*"):
            shutil.rmtree(leftover)
        self.aliases: dict[str, str] = load_json(root / "aliases.json") or {}
        for folder in sorted(p for p in self.folder.iterdir() if p.is_dir()):
            self._open(folder)

    def _open(self, folder: Path) -> None:
        config = load_json(folder / "config.json")
        name = None if config is None else config.get("shard", "shard")
        for leftover in folder.iterdir():
            if leftover.is_dir() and leftover.name.startswith("shard") and leftover.name != name:
                shutil.rmtree(leftover)
        if config is None:
            shutil.rmtree(folder)
            return
        try:
            self.collections[folder.name] = Collection(folder, config, create=False)
        except Exception as error:
            raise CannotOpen(f"{folder} cannot be loaded ({error}): restore it, or remove the folder") from error

    def work_folder(self) -> tempfile.TemporaryDirectory[str]:
        """On the data's own file system, so that what is finished there is renamed into place; never the small
        /tmp. What a crash leaves there is removed at the next start."""
        return tempfile.TemporaryDirectory(prefix=PARTIAL, dir=self.root)

    def get(self, name: str) -> Collection:
        """By name or alias."""
        with self.lock:
            found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise not_found(f"Collection `{name}` doesn't exist!")
        return found

    def create(self, name: str, body: Mapping[str, Any]) -> Collection:
        vectors = checked_creation(body)
        checked_name(name)
        with self.lock:
            if name in self.collections:
                raise wrong_input(f"Collection `{name}` already exists!")
            if name in self.aliases:
                raise wrong_input(
                    f"Can't create collection with name {name}. Alias with the same name already exists"
                )
            folder, config = self.folder / name, {"vectors": vectors, "shard": "shard"}
            shutil.rmtree(folder, ignore_errors=True)
            made = Collection(folder, config, create=True)
            save_json(folder / "config.json", config)
            sync(self.folder)
            self.collections[name] = made
            return made

    def drop(self, name: str) -> bool:
        """Whether there was one; its aliases go with it."""
        with self.lock:
            found = self.collections.pop(name, None)
            if found is None:
                return False
            found.close()
            (found.folder / "config.json").unlink()
            sync(found.folder)
            shutil.rmtree(found.folder)
            self._save_aliases({a: c for a, c in self.aliases.items() if c != name})
            return True

    def change_aliases(self, actions: list[Any]) -> None:
        """All of them or none."""
        with self.lock:
            changed = dict(self.aliases)
            for action in actions:
                self._change_alias(changed, mapping(action, "actions"))
            self._save_aliases(changed)

    def _change_alias(self, aliases: dict[str, str], action: dict[str, Any]) -> None:
        kind, value = next(iter(action.items()), ("", None))
        one = mapping(value, "actions")
        if len(action) == 1 and kind == "create_alias":
            alias, target = needed(one, "alias_name", str), needed(one, "collection_name", str)
            if target not in self.collections:
                raise not_found(f"Collection `{target}` doesn't exist!")
            self._free(alias)
            aliases[alias] = target
        elif len(action) == 1 and kind == "delete_alias":
            aliases.pop(needed(one, "alias_name", str), None)
        elif len(action) == 1 and kind == "rename_alias":
            old, new = needed(one, "old_alias_name", str), needed(one, "new_alias_name", str)
            if old not in aliases:
                raise not_found(f"Alias {old} does not exists!")
            self._free(new)
            aliases[new] = aliases.pop(old)
        else:
            raise wrong_input("an action is one of create_alias, delete_alias, rename_alias")

    def _free(self, alias: str) -> None:
        checked_name(alias)
        if alias in self.collections:
            raise wrong_input(f"Collection `{alias}` already exists!")

    def _save_aliases(self, aliases: dict[str, str]) -> None:
        if aliases != self.aliases:
            save_json(self.root / "aliases.json", aliases)
            self.aliases = aliases

    def close(self) -> None:
        """Flush everything to the disk; the storage answers no more."""
        with self.lock:
            for one in self.collections.values():
                one.close()
            self._held.close()


def checked_name(name: str) -> None:
    """A name is a folder's name too."""
    if not name or name.startswith(".") or set(name) & FORBIDDEN or len(name.encode()) > 255:
        raise invalid(f"collection_name: {name!r} cannot be a name")


def checked_creation(body: Mapping[str, Any]) -> dict[str, Any]:
    """The vectors to create. Tuning is refused: an edge shard has none, and reporting it would be untrue."""
    for key in ("shard_number", "replication_factor", "write_consistency_factor"):
        if optional(body, key, int, 1) != 1:
            raise not_served(f"`{key}` other than 1")
    only(body, ("vectors", "shard_number", "replication_factor", "write_consistency_factor"), "a collection")
    vectors: dict[str, Any] = needed(body, "vectors", dict)
    if not vectors:
        raise not_served("a collection without vectors")
    for one in [vectors] if "size" in vectors or "distance" in vectors else list(vectors.values()):
        params = mapping(one, "vectors")
        only(params, ("size", "distance", "on_disk"), "a vector's parameters")
        size, distance = needed(params, "size", int), needed(params, "distance", str)
        optional(params, "on_disk", bool, None)
        if not 1 <= size <= LARGEST_VECTOR:
            raise invalid(f"vectors.size: value {size} invalid, must be from 1 to {LARGEST_VECTOR}")
        if distance not in DISTANCES:
            raise wrong_input(f"unknown variant `{distance}`, expected one of {', '.join(DISTANCES)}")
    return vectors
