"""The one error type that reaches people: what happened, where, why, and what to type next.

Anything a user can cause is raised as an `OpsError`; a bare exception reaching the top is a bug of ours.
"""

from __future__ import annotations


class OpsError(Exception):
    """A failure that a person can act on.

    `message` is one sentence naming the object and the cause. `remedy` says what to do. `details` are
    further lines (events, last log lines), most telling first. `exit_code` is what the process ends with.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        details: list[str] | tuple[str, ...] = (),
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = tuple(details)
        if exit_code is not None:
            self.exit_code = exit_code

    def lines(self) -> list[str]:
        """What a console shows: the sentence first, then the details, then the remedy."""
        out = [self.message]
        out += [f"  {line}" for line in self.details]
        if self.remedy:
            out.append(f"  → {self.remedy}")
        return out

    def __str__(self) -> str:
        return self.message if not self.remedy else f"{self.message} → {self.remedy}"


class InputError(OpsError):
    """The input is wrong (a stack file, an argument, a setting). Nothing was changed."""

    exit_code = 2


class OwnTestsFailed(OpsError):
    """The tests that belong to `image` failed while it was built, so there is no image."""

    def __init__(
        self, message: str, *, image: str, remedy: str = "", details: list[str] | tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, remedy=remedy, details=details)
        self.image = image


class RefusedError(OpsError):
    """The tool declined: a policy, a lease held by another, a dirty tree. Nothing was changed."""

    exit_code = 3


class DeadlineError(OpsError):
    """A wait ended without what it waited for."""

    exit_code = 4


class InterruptedByUser(OpsError):
    """SIGTERM, SIGINT or a cancel."""

    exit_code = 130
