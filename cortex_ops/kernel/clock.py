"""Time as a value that is passed in: UTC instants, a monotonic counter, and deadlines with a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from cortex_ops.kernel.errors import DeadlineError


class Clock(Protocol):
    """Where a part of the system gets its time from."""

    def now(self) -> datetime:
        """The current instant, timezone-aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class ManualClock:
    """A clock that moves only when told (or slept on); tests use it."""

    instant: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    seconds: float = 0.0

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        from datetime import timedelta

        self.seconds += seconds
        self.instant += timedelta(seconds=seconds)


SYSTEM = SystemClock()


def iso(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """The inverse of `iso`."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


@dataclass
class Deadline:
    """A wait of at most `seconds` for `what`; `poll` yields until it is over, then raises `DeadlineError`."""

    seconds: float
    what: str
    clock: Clock = SYSTEM

    def __post_init__(self) -> None:
        self._end = self.clock.monotonic() + self.seconds

    def remaining(self) -> float:
        return max(0.0, self._end - self.clock.monotonic())

    def expired(self) -> bool:
        return self.remaining() <= 0

    def poll(self, interval: float = 0.2) -> Iterator[float]:
        """Yield the remaining seconds, at least once, sleeping `interval` between; raise at the end."""
        while True:
            left = self.remaining()
            yield left
            if self.expired():
                raise DeadlineError(f"{self.what} did not happen within {self.seconds:g} s")
            self.clock.sleep(min(interval, max(0.01, self.remaining())))
