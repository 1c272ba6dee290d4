"""Which built images an engine need not keep: first a table with a reason for each, then a step that takes the table.

Narrow: only names that end in our store's own mark are removed, and an image goes with its last name, so another
checkout's stay, also where both built the same. With a registry the engine holds copies, which can be pulled again:
those that no release of ours retains and no container uses go after a while. Images in registries are left alone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cortex_ops.adapters import engine_images
from cortex_ops.adapters.engine import Engine
from cortex_ops.images.plan import LABEL, LOCAL
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import Value

SPARE = 2  # newest unreleased images of each service: a change taken back is then no build


class Named(Value):
    """An image by our names for it. `at`: when it was last made or named (UTC), None when the engine does not say."""

    image_id: str
    names: tuple[str, ...]
    at: datetime | None = None


class Decision(Value):
    """`image.names` are removed when `remove` is true."""

    image: Named
    remove: bool
    reason: str


class Removed(Value):
    """Sentences: what went, and what could not."""

    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def owner_of(store: Store) -> str:
    """The mark of a store on the names of its images, made on first use; checkouts that share a store share it."""
    key = "images/owner"
    mark = store.get(key)
    if mark is None:
        store.put_if_absent(key, secrets.token_hex(4).encode())
        mark = store.get(key) or b""
    return mark.decode()


def plan(
    images: list[Named], protected: Mapping[str, str], in_use: set[str], *, unused: timedelta, now: datetime
) -> list[Decision]:
    """Pure. `protected`: image id → why it stays (`release 12 of staging`); `in_use`: ids that containers have;
    `unused`: the age from which one that nothing needs goes."""
    out = []
    spare: dict[str, int] = {}
    for image in sorted(images, key=lambda one: one.at or now, reverse=True):
        known = next((protected[one] for one in (image.image_id, *image.names) if one in protected), "")
        why = known or ("a container uses it" if image.image_id in in_use else "")
        if not why:
            service = re.split("[:@]", image.names[0].rpartition("/")[2])[0]
            spare[service] = spare.get(service, 0) + 1
            if spare[service] <= SPARE:
                why = f"one of the {SPARE} newest of {service}"
            elif image.at is None or now - image.at < unused:
                why = "younger than the stack file's `retention.unused`"
        out.append(Decision(image=image, remove=not why, reason=why or "no retained release names it"))
    return out


def table(
    engine: Engine,
    store: Store,
    protected: Mapping[str, str],
    *,
    unused: timedelta,
    registry: str = "",
    clock: Clock = SYSTEM,
) -> list[Decision]:
    """Of what is in the engine now. `protected` names the images of all retained releases, of all environments;
    `registry` is where ours are pushed to, empty for none."""
    return plan(
        [*in_engine(engine, owner_of(store)), *(copies(engine, registry) if registry else [])],
        protected,
        engine_images.images_in_use(engine),
        unused=unused,
        now=clock.now(),
    )


def apply(engine: Engine, decisions: list[Decision]) -> Removed:
    """Remove what the table says, and nothing else."""
    removed, problems = [], []
    for one in decisions:
        if one.remove:
            failed = [why for name in one.image.names if (why := engine_images.remove(engine, name))]
            problems += [f"image {one.image.names[0]}: {why}" for why in failed[:1]]
            removed += [f"image {one.image.names[0]}: {one.reason}"] if not failed else []
    return Removed(removed=tuple(removed), problems=tuple(problems))


def in_engine(engine: Engine, owner: str) -> list[Named]:
    """Images that have a name with this owner's mark, and those names only."""
    names: dict[str, list[str]] = {}
    for image_id, name in engine_images.names_in_engine(engine, LABEL + "service"):
        if name.startswith(f"{LOCAL}/") and name.endswith(f"-{owner}"):
            names.setdefault(image_id, []).append(name)
    documents = engine_images.inspect(engine, list(names))
    return [
        Named(image_id=image_id, names=tuple(sorted(found)), at=_instant(documents.get(image_id, {})))
        for image_id, found in names.items()
    ]


def copies(engine: Engine, registry: str) -> list[Named]:
    """Images that were pushed to or pulled from our place in the registry; the digest is their first name."""
    found = engine_images.copies_in_engine(engine, LABEL + "service", registry)
    out = []
    for name, one in engine_images.inspect(engine, found).items():
        tags = [tag for tag in one.get("RepoTags") or [] if tag.startswith(f"{registry}/")]
        at = _instant(one) or _moment(str(one.get("Created") or ""))
        out.append(Named(image_id=str(one["Id"]), names=(name, *sorted(tags)), at=at))
    return out


def _instant(document: Mapping[str, object]) -> datetime | None:
    # `Created` is the age of the last layer, which a build from the cache may have taken from long ago.
    metadata = document.get("Metadata")
    return _moment(str(metadata.get("LastTagTime") or "") if isinstance(metadata, dict) else "")


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None
    return found if found.year > 1 else None
