"""What retention may never do, whatever sets there are; and what it keeps on ordinary days."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.backup import catalog
from cortex_ops.backup.catalog import SetState
from cortex_ops.backup.retention import Report, judge, remove_obsolete
from cortex_ops.kernel.clock import ManualClock, iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.store.local import LocalStore

NOW = datetime(2026, 6, 17, 12, tzinfo=UTC)  # a Wednesday


@dataclass
class Rules:
    proven: int = 3
    daily: int = 7
    weekly: int = 4


def a_set(hours_ago: float, status: str = "complete", held: str = "") -> SetState:
    at = NOW - timedelta(hours=hours_ago)
    return SetState.model_validate(
        {
            "set_id": f"{at:%Y%m%dT%H%M%SZ}-{zlib.crc32(repr((hours_ago, status, held)).encode())}",
            "status": status,
            "data_time": iso(at) if status in ("complete", "proven") else "",
            "held": held,
        }
    )


def report(*sets: SetState, rules: Rules | None = None, now: datetime = NOW) -> Report:
    return judge("local", sets, rules or Rules(), now)


sets = st.lists(
    st.builds(
        a_set,
        st.floats(min_value=-48, max_value=24 * 90),
        st.sampled_from(["complete", "complete", "proven", "suspect", "unfinished"]),
        st.sampled_from(["", "", "", "audit"]),
    ),
    max_size=40,
    unique_by=lambda one: one.set_id,
)
rules = st.builds(Rules, st.integers(1, 5), st.integers(0, 10), st.integers(0, 6))


def _newest(found: list[SetState], *statuses: str) -> list[str]:
    chosen = [one for one in found if one.status in statuses]
    return [one.set_id for one in sorted(chosen, key=lambda one: (one.data_time, one.set_id), reverse=True)]


@given(sets, rules)
def test_the_newest_proven_sets_are_never_obsolete_however_old(found: list[SetState], kept: Rules) -> None:
    obsolete = set(report(*found, rules=kept).obsolete())
    assert not obsolete & set(_newest(found, "proven")[: kept.proven])


@given(sets, rules, st.integers(0, 1000))
def test_nights_that_fail_take_nothing_below_the_floor(found: list[SetState], kept: Rules, days: int) -> None:
    good = _newest(found, "complete", "proven")
    left = set(good) - set(report(*found, rules=kept, now=NOW + timedelta(days=days)).obsolete())
    assert len(left) >= min(kept.proven, len(good))


@given(sets, rules)
def test_held_suspect_and_newest_sets_are_never_obsolete(found: list[SetState], kept: Rules) -> None:
    obsolete = set(report(*found, rules=kept).obsolete())
    assert not obsolete & {one.set_id for one in found if one.held or one.status in ("suspect", "unfinished")}
    assert not obsolete & set(_newest(found, "complete", "proven")[:1])


@given(sets, rules)
def test_every_set_is_judged_once_with_a_reason(found: list[SetState], kept: Rules) -> None:
    judged = report(*found, rules=kept).sets
    assert sorted(one.set_id for one in judged) == sorted(one.set_id for one in found)
    assert all(one.reasons for one in judged)


@given(sets, rules)
def test_what_a_report_keeps_the_next_one_keeps(found: list[SetState], kept: Rules) -> None:
    first = report(*found, rules=kept)
    left = [one for one in found if one.set_id not in first.obsolete()]
    assert report(*left, rules=kept).obsolete() == []


@given(sets, rules)
def test_a_set_that_cannot_be_verified_counts_for_nothing(found: list[SetState], kept: Rules) -> None:
    good = [one for one in found if one.status in ("complete", "proven")]
    with_bad, without = report(*found, rules=kept), report(*good, rules=kept)
    assert with_bad.obsolete() == without.obsolete()


def test_fifteen_failed_nights_leave_the_floor() -> None:
    old = [a_set(24 * (15 + day), "proven") for day in range(30)]
    kept = report(*old).kept()
    assert [one.set_id in kept for one in old[:3]] == [True, True, True]
    assert "one of the 3 newest proven sets" in kept[old[1].set_id]
    assert list(kept) == [one.set_id for one in old[:3]]
    assert "the newest of the week of 2026-05-25" in kept[old[2].set_id]


def test_an_ordinary_fortnight_keeps_days_then_weeks() -> None:
    nightly = [a_set(9 + 24 * day, "proven" if day % 7 == 3 else "complete") for day in range(60)]
    twice = a_set(5)
    result = report(*nightly, twice)
    days = [one for one in nightly[:7] if one.set_id in result.kept()]
    assert len(days) == 6, "one of today's two is not needed"
    assert result.kept()[twice.set_id].startswith("the newest set; the newest of 2026-06-17; the newest of the week")
    assert len(result.kept()) < 15
    assert all("no rule keeps it" in one.reasons for one in result.sets if not one.keep)


def test_without_proven_sets_the_newest_ones_stand_in_for_them() -> None:
    found = [a_set(24 * day) for day in (100, 200, 300, 400)]
    kept = report(*found).kept()
    assert list(kept) == [one.set_id for one in found[:3]]
    assert "only 0 of 3 sets are proven" in kept[found[2].set_id]


def _fill(store: LocalStore, *sets: SetState) -> None:
    for one in sets:
        for name in ("begun.json", "manifest.json", "postgres.data", "proof-1.json"):
            store.put_if_absent(f"backups/local/{one.set_id}/{name}", b"{}")


def test_removal_takes_exactly_what_the_report_names(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    found = [a_set(24 * day, "proven") for day in (100, 200, 300, 400, 500)]
    _fill(store, *found)
    result = report(*found)
    assert result.obsolete() == [found[3].set_id, found[4].set_id]
    removal = remove_obsolete(store, result)
    assert removal.removed == {found[3].set_id: "no rule keeps it", found[4].set_id: "no rule keeps it"}
    assert catalog.set_ids(store, "local") == [one.set_id for one in found[:3]]


def test_a_hold_that_was_set_after_the_report_counts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    found = [a_set(24 * day, "proven") for day in (100, 200, 300, 400)]
    _fill(store, *found)
    result = report(*found)
    catalog.hold(store, "local", found[3].set_id, reason="audit", actor="ann", clock=ManualClock())
    assert remove_obsolete(store, result).removed == {}


def test_a_set_that_cannot_be_removed_is_reported_and_the_others_are_removed(tmp_path: Path) -> None:
    class Stubborn(LocalStore):
        def delete(self, key: str) -> None:
            if found[3].set_id in key:
                raise OpsError("permission denied")
            super().delete(key)

    store = Stubborn(tmp_path)
    found = [a_set(24 * day, "proven") for day in (100, 200, 300, 400, 500)]
    _fill(store, *found)
    removal = remove_obsolete(store, report(*found))
    assert list(removal.removed) == [found[4].set_id]
    assert removal.problems == (f"{found[3].set_id} could not be removed: permission denied",)
