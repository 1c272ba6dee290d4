"""Which sets are still needed, as a report with reasons; and, apart from it, removing what a report names.

The report is pure. No rule of age crosses the floor of proven sets; the newest proven set is never removed; a
set that cannot be verified counts for nothing and is left for a person to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from cortex_ops.backup import catalog
from cortex_ops.backup.catalog import SetState
from cortex_ops.kernel.clock import parse_iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import Store
from cortex_ops.kernel.values import Value


class Rules(Protocol):
    """`stack.schema.Keep`: how many proven sets, and the newest of how many days and weeks, are kept."""

    @property
    def proven(self) -> int: ...
    @property
    def daily(self) -> int: ...
    @property
    def weekly(self) -> int: ...


class Judged(Value):
    """One set: kept with reasons, or obsolete with one."""

    set_id: str
    keep: bool
    reasons: tuple[str, ...]


class Report(Value):
    """Newest first."""

    environment: str
    sets: tuple[Judged, ...]

    def obsolete(self) -> list[str]:
        return [one.set_id for one in self.sets if not one.keep]

    def kept(self) -> dict[str, str]:
        return {one.set_id: "; ".join(one.reasons) for one in self.sets if one.keep}


def judge(environment: str, sets: Iterable[SetState], rules: Rules, now: datetime) -> Report:
    """The report for these sets at this instant. Pure."""
    ordered = sorted(sets, key=lambda one: (one.data_time or one.set_id, one.set_id), reverse=True)
    good = [one for one in ordered if one.status in ("complete", "proven")]
    proven = [one for one in good if one.status == "proven"]
    reasons: dict[str, list[str]] = {one.set_id: [] for one in ordered}
    for one in ordered:
        if one.held:
            reasons[one.set_id].append(f"held: {one.held}")
        if one.status == "suspect":
            reasons[one.set_id].append(f"cannot be verified, look at it: {one.problem}")
        if one.status == "unfinished":
            reasons[one.set_id].append("unfinished: the next backup removes it")
    if good:
        reasons[good[0].set_id].append("the newest set")
    floor = max(1, rules.proven)
    for number, one in enumerate(proven[:floor]):
        reasons[one.set_id].append(
            "the newest proven set" if number == 0 else f"one of the {floor} newest proven sets"
        )
    missing = floor - len(proven)
    for one in [one for one in good if one.status != "proven"][: max(0, missing)]:
        reasons[one.set_id].append(f"only {len(proven)} of {floor} sets are proven")
    for one, why in _by_age(good, rules, now):
        reasons[one.set_id].append(why)
    return Report(
        environment=environment,
        sets=tuple(
            Judged(
                set_id=one.set_id,
                keep=bool(reasons[one.set_id]),
                reasons=tuple(reasons[one.set_id]) or ("no rule keeps it",),
            )
            for one in ordered
        ),
    )


def _by_age(good: list[SetState], rules: Rules, now: datetime) -> Iterable[tuple[SetState, str]]:
    """The newest set of each of the last days and weeks (UTC; weeks begin on Monday)."""
    week_of: Callable[[datetime], datetime] = lambda at: _midnight(at) - timedelta(days=at.weekday())  # noqa: E731
    today, this_week = _midnight(now), week_of(now)
    days: set[datetime] = set()
    weeks: set[datetime] = set()
    for one in good:
        at = parse_iso(one.data_time)
        if at > now:
            yield one, "dated in the future"
            continue
        day, week = _midnight(at), week_of(at)
        if day not in days and today - day < timedelta(days=rules.daily):
            yield one, f"the newest of {day:%Y-%m-%d}"
        if week not in weeks and this_week - week < timedelta(weeks=rules.weekly):
            yield one, f"the newest of the week of {week:%Y-%m-%d}"
        days.add(day)
        weeks.add(week)


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


class Removal(Value):
    """What the removal step did: sets removed with the reason, and what could not be removed."""

    removed: dict[str, str] = {}
    problems: tuple[str, ...] = ()


def remove_obsolete(store: Store, report: Report) -> Removal:
    """Remove exactly the sets that the report names as obsolete, but those held since. Call with the lock."""
    removed: dict[str, str] = {}
    problems: list[str] = []
    for one in report.sets:
        if one.keep or catalog.hold_of(store, report.environment, one.set_id) is not None:
            continue
        try:
            catalog.remove_set(store, report.environment, one.set_id)
            removed[one.set_id] = "; ".join(one.reasons)
        except OpsError as error:
            problems.append(f"{one.set_id} could not be removed: {error.message}")
    return Removal(removed=removed, problems=tuple(problems))
