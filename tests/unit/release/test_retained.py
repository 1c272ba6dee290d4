"""Which images stay for releases: of every environment in the store, the newest promoted and unfinished ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from cortex_ops.kernel.values import ImageLock, ImageRef, Placement
from cortex_ops.release.history import History
from cortex_ops.release.records import Intent, Outcome
from cortex_ops.release.upkeep import retained
from cortex_ops.store.local import LocalStore


def release(history: History, image: str, state: str) -> int:
    """One release of a single image; `state` empty: it never finished."""
    refs = {"api": ImageRef(fingerprint="f", image_id=f"sha256:{image}", engine_id="e")}
    if image == "pushed":
        refs = {"api": ImageRef(fingerprint="f", repository="reg/api", digest="sha256:9")}
    intent = history.begin(
        lambda seq: Intent(
            environment=history.environment,
            seq=seq,
            kind="release",
            run_id="r",
            actor="a",
            started_at="",
            revision="",
            dirty=False,
            identity="",
            placement=Placement(seq=seq, slot="a"),
            previous=0,
            lock=ImageLock(source_revision="", source_dirty=False, images=refs),
            secret_versions={},
        )
    )
    if state:
        outcome = Outcome.model_validate({"state": state, "serves": intent.seq, "finished_at": "", "seconds": 1.0})
        history.finish(intent.seq, outcome)
    return intent.seq


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Staging: three promoted, one rolled back, one unfinished. Production: one promoted, then a failed one."""
    found = LocalStore(tmp_path)
    for image, state in (("1", "promoted"), ("2", "promoted"), ("3", "rolled_back"), ("4", "promoted"), ("5", "")):
        release(History(found, "staging"), image, state)
    for image, state in (("pushed", "promoted"), ("6", "failed")):
        release(History(found, "production"), image, state)
    return found


def test_each_environment_keeps_its_own_newest_promoted_releases_and_what_is_unfinished(store: LocalStore) -> None:
    assert retained(store, 1) == {
        "reg/api@sha256:9": "release 1 of production",
        "sha256:5": "release 5 of staging",
        "sha256:4": "release 4 of staging",
    }


def test_more_are_kept_where_the_policy_says_so(store: LocalStore) -> None:
    assert set(retained(store, 2)) == {"reg/api@sha256:9", "sha256:5", "sha256:4", "sha256:2"}
    assert {"sha256:1", "sha256:2"} <= set(retained(store, 10)) and "sha256:3" not in retained(store, 10)


def test_an_image_that_several_releases_have_stays_for_the_newest_of_them(store: LocalStore) -> None:
    release(History(store, "staging"), "1", "promoted")
    assert retained(store, 1)["sha256:1"] == "release 6 of staging"


def test_an_empty_store_keeps_nothing(tmp_path: Path) -> None:
    assert retained(LocalStore(tmp_path), 10) == {}
