"""The release transaction: `begun → migrated → applied → tested → promoted`, or `rolled_back`.

One `Releaser` serves one environment. Every public method may be the first thing a fresh process calls: what
it needs is in the history and on the target. Whatever way a method ends, either the old or the new release
serves, and what is left to do is found by `settle`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cortex_ops.kernel.clock import SYSTEM, Clock, iso
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.process import telling
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.values import Change, ImageLock, Placed, Placement, Verdict
from cortex_ops.release.history import History
from cortex_ops.release.records import Intent, Record
from cortex_ops.release.settle import Settler
from cortex_ops.targets.protocol import Target


@dataclass
class Wanted:
    """What a run wants to be live. `place` renders it for a placement; `secrets` maps volume → file → value."""

    identity: str
    revision: str
    dirty: bool
    lock: ImageLock
    secret_versions: dict[str, str]
    place: Callable[[Placement], Placed]
    secrets: Callable[[], dict[str, dict[str, Secret]]]
    migrations: tuple[str, ...] = ()  # job names, run in order before the new version starts
    schema_head: int = 0
    schema_breaking: int = 0
    stack_hash: str = ""
    promoted_from: str = ""


@dataclass
class Begun:
    """How a rollout went: a no-op, or a candidate that waits for its tests."""

    noop: bool
    record: Record
    repaired: list[Change] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)


class Releaser:
    """Moves one environment from one release to the next."""

    def __init__(
        self,
        environment: str,
        target: Target,
        history: History,
        *,
        run_id: str,
        actor: str,
        drift_policy: str = "correct",
        wait: float = 0.0,
        migration_deadline: float = 300.0,
        verify: Callable[[Target], list[str]] = lambda _target: [],
        newest_backup: Callable[[], str] = lambda: "",
        clock: Clock = SYSTEM,
        progress: Progress = SILENT,
    ) -> None:
        self.environment = environment
        self.target = target
        self.history = history
        self.run_id = run_id
        self.actor = actor
        self.drift_policy = drift_policy
        self.wait = wait
        self.migration_deadline = migration_deadline
        self.verify = verify
        self.clock = clock
        self.settler = Settler(
            environment,
            target,
            history,
            run_id=run_id,
            actor=actor,
            newest_backup=newest_backup,
            clock=clock,
            progress=progress,
        )

    # -- rollout -------------------------------------------------------------------------------------------
    def roll_out(self, wanted: Wanted) -> Begun:
        """Bring the candidate up beside what runs. Undoes its own failure before it raises."""
        live = self.history.live()
        if live is not None and self._untouched(live, wanted):
            return Begun(noop=True, record=live)
        with self._leased():
            self.settle(holding=True)
            live = self.history.live()
            if live is None:
                self._refuse_unrecorded()
            repair = self._drift(live) if live is not None else []
            same = live is not None and live.intent.identity == wanted.identity
            if live is not None and same and not repair:
                self.target.lease.release()
                return Begun(noop=True, record=live)
            if same and self.drift_policy == "refuse":
                self.target.lease.release()
                raise RefusedError(
                    f"{self.environment} is not what its last release made it, and its policy is to refuse",
                    details=[change.line() for change in repair][:20],
                    remedy="undo the hand edit, or set `drift: correct` for this environment",
                )
            self._refuse_breaking(live, wanted)
            return self._start(wanted, live, repair)

    def _refuse_unrecorded(self) -> None:
        """A release that nothing here recorded is somebody's all the same; a first one would take its place."""
        runs = self.target.live().release
        if runs:
            self.target.lease.release()
            raise RefusedError(
                f"{self.environment} runs {runs} already, of which this store has no record: "
                "it is of another checkout, or the store was lost",
                remedy="use its store (CORTEX_OPS_STORE), give this stack another `name`, or remove what runs and "
                f"keep its data: cortex-ops down -e {self.environment}",
            )

    def _start(self, wanted: Wanted, live: Record | None, repair: list[Change]) -> Begun:
        serves = live.outcome.serves if live is not None and live.outcome else 0
        before = self.history.placed(serves) if serves else None
        slot = "b" if before is not None and before.placement.slot == "a" else "a"
        timings: dict[str, float] = {}
        self._end_bake(serves, timings)
        intent = self.history.begin(
            lambda seq: Intent(
                environment=self.environment,
                seq=seq,
                kind="release",
                run_id=self.run_id,
                actor=self.actor,
                started_at=iso(self.clock.now()),
                revision=wanted.revision,
                dirty=wanted.dirty,
                identity=wanted.identity,
                placement=Placement(seq=seq, slot=slot),
                previous=live.seq if live is not None else 0,
                lock=wanted.lock,
                secret_versions=wanted.secret_versions,
                stack_hash=wanted.stack_hash,
                schema_head=wanted.schema_head,
                schema_breaking=wanted.schema_breaking,
                promoted_from=wanted.promoted_from,
                tested_before_traffic=self.target.tests_before_traffic,
            )
        )
        try:
            placed = wanted.place(intent.placement)
            self.history.put_placed(intent.seq, placed)
            self._bring_up(wanted, placed, before, repair, timings)
        except BaseException as error:
            self.settler.undo(intent, error, timings)
            raise
        return Begun(noop=False, record=self.history.record(intent.seq), repaired=repair, timings=timings)

    def _bring_up(
        self,
        wanted: Wanted,
        placed: Placed,
        before: Placed | None,
        repair: list[Change],
        timings: dict[str, float],
    ) -> None:
        target = self.target
        findings = target.preflight(placed)
        if findings:
            raise OpsError(findings[0], details=findings[1:])
        with self.settler.phase("secrets", "delivering secrets", timings):
            target.deliver_secrets(placed, wanted.secrets())
        with self.settler.phase("prepare", "stores and proxy", timings):
            target.lease.check()
            target.prepare(placed, repair)
        with self.settler.phase("migrate", "migrations", timings, quiet=not wanted.migrations):
            for job in wanted.migrations:
                target.lease.check()
                self._migrate(placed, job)
        with self.settler.phase("apply", f"starting release r{placed.placement.seq}", timings):
            target.lease.check()
            if before is not None:
                target.step_aside(before, placed)
            target.apply(placed)
            target.lease.check()
            target.offer(placed)

    def _migrate(self, placed: Placed, job: str) -> None:
        result = self.target.run_job(placed, job, deadline=self.migration_deadline)
        if result.code != 0:
            last = result.tail(15)
            cause = result.cause or telling(last) or "it said nothing"
            raise OpsError(f"migration {job} failed (exit {result.code}): {cause}", details=last)

    def _refuse_breaking(self, live: Record | None, wanted: Wanted) -> None:
        if live is not None and wanted.schema_breaking > live.intent.schema_head:
            self.target.lease.release()
            raise RefusedError(
                f"migration {wanted.schema_breaking:04d} is declared breaking: the running release "
                f"r{live.seq} would not work on the new schema",
                remedy="split it into compatible steps, or plan a maintenance window",
            )

    # -- verdict -------------------------------------------------------------------------------------------
    def conclude(self, verdict: Verdict | None) -> Record:
        """Promote this run's candidate on a passed verdict, roll it back on any other."""
        record = self._mine()
        if record is None:
            raise OpsError(f"run {self.run_id} has no release of {self.environment} in progress")
        intent = record.intent
        verdict = verdict or self.history.verdict(intent.seq)
        timings: dict[str, float] = {}
        lost = self._lost_lease()
        with self._leased():
            if verdict is None or not verdict.passed:
                cause = verdict.cause if verdict else "no verdict was recorded"
                self.settler.roll_back(intent, f"the tests rejected it: {cause}", timings)
                self.target.lease.release()
                return self.history.record(intent.seq)
            try:
                if lost is not None:
                    raise lost
                self._promote(intent, timings)
            except BaseException as error:
                self.settler.undo(intent, error, timings)
                raise
        return self.history.record(intent.seq)

    def _lost_lease(self) -> OpsError | None:
        """Why this run may not go on with what its earlier step began; None when it may."""
        try:
            self.target.lease.resume(self.run_id)
        except OpsError as error:
            return error
        return None

    def _promote(self, intent: Intent, timings: dict[str, float]) -> None:
        placed = self.history.placed(intent.seq)
        if placed is None:
            raise OpsError(f"release {intent.seq} has no rendering in the store")
        with self.settler.phase("switch", f"switching the traffic to r{intent.seq}", timings):
            self.target.lease.check()
            if not self.target.present(intent.seq):
                raise OpsError(f"r{intent.seq} passed its tests but is not ready any more")
            self.target.switch(placed)
            problems = self.verify(self.target)
            if problems:
                raise OpsError(f"r{intent.seq} does not answer from outside: {problems[0]}", details=problems[1:])
        self.settler.finish(intent, "promoted", serves=intent.seq, timings=timings)
        self.target.lease.release()

    # -- rollback on request -------------------------------------------------------------------------------
    def rollback_plan(self, to: int = 0) -> tuple[Record, Record]:
        """The live record and the one to bring back; refused with the reason when that cannot be."""
        live = self.history.live()
        if live is None:
            raise RefusedError(f"{self.environment} has nothing live to roll back from")
        candidates = [
            r
            for r in self.history.records(limit=200)
            if r.outcome and r.outcome.state == "promoted" and r.outcome.serves != (live.outcome or r.outcome).serves
        ]
        wanted = next((r for r in candidates if r.seq == to), None) if to else next(iter(candidates), None)
        if wanted is None:
            what = f"release {to}" if to else "earlier promoted release"
            raise RefusedError(
                f"{self.environment} has no {what} to go back to",
                remedy=f"`cortex-ops history -e {self.environment}` lists what was promoted",
            )
        newest_breaking = max((r.intent.schema_breaking for r in self.history.records(limit=200)), default=0)
        if newest_breaking > wanted.intent.schema_head:
            raise RefusedError(
                f"r{wanted.seq} does not run on the present schema: migration {newest_breaking:04d} is breaking "
                f"and it knows only up to {wanted.intent.schema_head:04d}",
                remedy="release a fix forward, or restore a backup taken before that migration",
            )
        return live, wanted

    def switch_back(self, wanted: Record) -> Record | None:
        """Roll back by the switch alone, when the earlier release still runs; None when it does not."""
        serves = wanted.outcome.serves if wanted.outcome else wanted.seq
        placed = self.history.placed(serves)
        live = self.history.live()
        with self._leased():
            self.settle(holding=True)
            if placed is None or live is None or not self.target.present(serves):
                return None
            timings: dict[str, float] = {}
            intent = self.history.begin(
                lambda seq: live.intent.model_copy(
                    update={
                        "seq": seq,
                        "kind": "rollback",
                        "run_id": self.run_id,
                        "actor": self.actor,
                        "started_at": iso(self.clock.now()),
                        "revision": wanted.intent.revision,
                        "dirty": wanted.intent.dirty,
                        "identity": wanted.intent.identity,
                        "placement": placed.placement,
                        "previous": live.seq,
                        "returns_to": serves,
                        "lock": wanted.intent.lock,
                        "secret_versions": wanted.intent.secret_versions,
                        "stack_hash": wanted.intent.stack_hash,
                        "schema_head": wanted.intent.schema_head,
                    }
                )
            )
            with self.settler.phase("switch", f"switching the traffic back to r{serves}", timings):
                self.target.switch(placed)
            self.settler.finish(intent, "promoted", serves=serves, timings=timings)
            self.target.lease.release()
            return self.history.record(intent.seq)

    # -- settling ------------------------------------------------------------------------------------------
    def settle(self, *, holding: bool = False) -> list[Record]:
        """Complete or undo every release that a dead run left unfinished. Idempotent.

        Raises `RefusedError` naming the holder when the unfinished release belongs to a run that lives.
        """
        todo = self.history.unfinished()
        if holding:
            return self.settler.settle([record for record in todo if record.intent.run_id != self.run_id])
        if not todo:
            return []
        with self._leased():
            settled = self.settler.settle(self.history.unfinished())
            self.target.lease.release()
        return settled

    def interrupt(self, cause: str = "the run was interrupted") -> None:
        """Undo what this run began and did not finish; called when the run is told to end."""
        record = self._mine()
        if record is not None:
            with self._leased():
                self.settler.interrupt(record, cause)
                self.target.lease.release()
        elif (holder := self.target.lease.holder()) is not None and holder.owner == self.run_id:
            self.target.lease.acquire(self.run_id, self.actor)
            self.target.lease.release()

    # -- small parts ---------------------------------------------------------------------------------------
    def _mine(self) -> Record | None:
        return next((r for r in self.history.unfinished() if r.intent.run_id == self.run_id), None)

    def _untouched(self, live: Record, wanted: Wanted) -> bool:
        """The fast path: nobody works on it, nothing is unfinished, and every owned field is as rendered."""
        return (
            live.intent.identity == wanted.identity
            and not self.history.unfinished()
            and self.target.lease.holder() is None
            and not self._drift(live)
        )

    def _drift(self, live: Record) -> list[Change]:
        serves = live.outcome.serves if live.outcome else live.seq
        placed = self.history.placed(serves)
        if placed is None:
            return [Change(object=f"r{serves}", field="rendering", expected="in the store", found="absent")]
        return self.target.drift(placed, serves)

    @contextlib.contextmanager
    def _leased(self) -> Iterator[None]:
        self.target.lease.acquire(self.run_id, self.actor, wait=self.wait)
        with self.target.lease.keep():
            yield

    def _end_bake(self, serves: int, timings: dict[str, float]) -> None:
        """The bake of an older release ends when its slot is needed."""
        old = [seq for seq in self.target.releases() if seq != serves]
        if old:
            with self.settler.phase("bake", f"removing {', '.join(f'r{seq}' for seq in old)}", timings):
                for seq in old:
                    self.target.remove(seq)
