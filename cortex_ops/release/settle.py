"""The ends of a release: promoted or rolled back, by the run that began it or by the next one.

A release that was begun and has no outcome is ended here: completed when the target already gives it the traffic and
it had passed, undone otherwise. Whoever calls has the lease.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

from cortex_ops.kernel.clock import Clock, iso, parse_iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import leftovers
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.redact import redact
from cortex_ops.kernel.values import Placed
from cortex_ops.release.history import History
from cortex_ops.release.records import Intent, Outcome, Record
from cortex_ops.targets.protocol import Target


class Settler:
    """Ends releases of one environment. `newest_backup` is what a record says one could go back to."""

    def __init__(
        self,
        environment: str,
        target: Target,
        history: History,
        *,
        run_id: str,
        actor: str,
        newest_backup: Callable[[], str],
        clock: Clock,
        progress: Progress,
    ) -> None:
        self.environment = environment
        self.target = target
        self.history = history
        self.run_id = run_id
        self.actor = actor
        self.newest_backup = newest_backup
        self.clock = clock
        self.progress = progress

    # -- of other runs -------------------------------------------------------------------------------------
    def settle(self, todo: list[Record]) -> list[Record]:
        """What a run left is looked for though its release is finished: the engine may have made it later."""
        for record in todo:
            _end_leftovers(record.intent.run_id)
        self.target.reap(self.run_id)
        return [self._settle_one(record) for record in todo]

    def _settle_one(self, record: Record) -> Record:
        intent = record.intent
        self.progress.say(f"settling r{intent.seq}, left unfinished by run {intent.run_id}")
        serving = intent.returns_to or intent.seq
        if self.target.live().release == f"r{serving}":
            passed = intent.kind == "rollback" or (record.verdict is not None and record.verdict.passed)
            if passed and self.target.present(serving):
                self.finish(intent, "promoted", serves=serving, cause="its run ended after the switch")
                return self.history.record(intent.seq)
        self.roll_back(intent, "its run was interrupted", {})
        return self.history.record(intent.seq)

    # -- of this run ---------------------------------------------------------------------------------------
    def interrupt(self, record: Record, cause: str) -> None:
        """End what this run began because it was told to end; what the engine makes late goes too."""
        self.target.reap("")
        if self.target.live().release == f"r{record.seq}" and record.verdict is not None and record.verdict.passed:
            self.finish(record.intent, "promoted", serves=record.seq, cause=f"{cause} after the switch")
        else:
            self.roll_back(record.intent, cause, {})
        self.target.reap("")

    def undo(self, intent: Intent, error: BaseException, timings: dict[str, float]) -> None:
        """Roll back because of `error`. When even that fails, the intent stays open for `settle`."""
        if isinstance(error, OpsError):
            cause = error.message
        elif isinstance(error, Exception):
            cause = f"{type(error).__name__}: {error}".strip(": ")
        else:
            cause = "the run was told to end"
        try:
            # Our lease may have been removed. Where another run took it, what we began is that run's to settle.
            self.target.lease.acquire(self.run_id, self.actor)
            # An outcome that is written stands, and what it says must stay true: a signal may come right after it.
            if self.history.record(intent.seq).outcome is None:
                self.roll_back(intent, cause, timings)
        except Exception as second:
            self.progress.say(
                f"undoing r{intent.seq} failed too: {second}; the next run, or `cortex-ops settle "
                f"-e {self.environment}`, completes it",
                style="red",
            )
        else:
            with contextlib.suppress(OpsError):  # the next run looks for it again
                self.target.reap("")
        with contextlib.suppress(OpsError):
            self.target.lease.release()

    def roll_back(self, intent: Intent, cause: str, timings: dict[str, float]) -> None:
        """Let the previous release serve, if there is one, and remove this one."""
        previous = self.history.record(intent.previous) if intent.previous else None
        serves = previous.outcome.serves if previous is not None and previous.outcome else 0
        self.progress.say(f"✗ r{intent.seq}: {cause.splitlines()[0] if cause else 'rolled back'}", style="red")
        with self.phase("rollback", f"rolling back to {f'r{serves}' if serves else 'nothing'}", timings):
            before = self.history.placed(serves) if serves else None
            tried = self.history.placed(intent.seq)
            if before is not None and tried is not None:
                self.target.restore(before, tried)
                cause += self._step_back(before, tried)
            live = self.target.live()
            ours = f"r{intent.returns_to or intent.seq}"
            if live.release == ours and ours != f"r{serves}":
                if before is not None:
                    self.target.switch(before)
                else:
                    self.target.close()
            else:
                self.target.retract_candidate()
            if not intent.returns_to:
                self.target.remove(intent.seq)
        self.finish(intent, "rolled_back", serves=serves, cause=cause, timings=timings)

    def _step_back(self, before: Placed, tried: Placed) -> str:
        """Empty, or what does not run again: the rollback goes on without it, and the next release repairs it."""
        try:
            self.target.step_back(before, tried)
        except OpsError as error:
            left = f"r{before.placement.seq} does not run again as it did: {error.message}"
            self.progress.say(f"  {left}", style="red")
            return f"; {left}"
        return ""

    # -- both ----------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def phase(self, key: str, what: str, timings: dict[str, float], *, quiet: bool = False) -> Iterator[None]:
        """One step that a person sees; its seconds are kept in `timings` under `key`."""
        began = self.clock.monotonic()
        try:
            if quiet:
                yield
            else:
                with self.progress.step(what):
                    yield
        finally:
            timings[key] = round(self.clock.monotonic() - began, 3)

    def finish(
        self,
        intent: Intent,
        state: str,
        *,
        serves: int,
        cause: str = "",
        timings: dict[str, float] | None = None,
    ) -> Outcome:
        """Write how it ended, once: `state` is `promoted` or `rolled_back`, `serves` the sequence that serves now."""
        seconds = (self.clock.now() - parse_iso(intent.started_at)).total_seconds()
        return self.history.finish(
            intent.seq,
            Outcome(
                state=state,
                serves=serves,
                finished_at=iso(self.clock.now()),
                seconds=round(max(0.0, seconds), 3),
                cause=redact(cause),
                settled_by=self.run_id if intent.run_id != self.run_id else "",
                backup=self.newest_backup(),
                timings=timings or {},
            ),
        )


def _end_leftovers(run_id: str) -> None:
    """End processes that a killed run left on this host; only those that carry its tag."""
    if not run_id:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        pids = leftovers(run_id)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        if not pids:
            return
        time.sleep(0.3)
