"""The release transaction, with every possible place to die tried in turn."""

from __future__ import annotations

import pytest

from cortex_ops.kernel.clock import ManualClock
from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.values import Change, Verdict
from cortex_ops.release.history import History
from cortex_ops.release.machine import Releaser, Wanted
from tests.support.stand_in_target import (
    STOP_START,
    Killed,
    MemoryStore,
    StandInTarget,
    Told,
    World,
    a_lock,
    a_placed,
)

PASSED = Verdict(passed=True, subject="x")
REJECTED = Verdict(passed=False, cause="the api answers 500")


def wanted(content: str, *, migrations: tuple[str, ...] = (), head: int = 0, breaking: int = 0) -> Wanted:
    return Wanted(
        identity=content,
        revision=content,
        dirty=False,
        lock=a_lock(content),
        secret_versions={},
        place=lambda placement: a_placed(placement, content),
        secrets=dict,
        migrations=migrations,
        schema_head=head,
        schema_breaking=breaking,
    )


class Bench:
    """An environment whose processes come and go."""

    def __init__(self) -> None:
        self.world = World()
        self.store = MemoryStore()
        self.history = History(self.store, "local")
        self.count = 0

    def process(
        self,
        *,
        die_at: int = 0,
        told_at: int = 0,
        fail: str = "",
        drift: str = "correct",
        progress: Progress = SILENT,
    ) -> Releaser:
        self.count += 1
        self.target = StandInTarget(self.world, die_at=die_at, told_at=told_at, fail=fail)
        run = f"run{self.count}"
        return Releaser(
            "local",
            self.target,
            self.history,
            run_id=run,
            actor="someone",
            clock=ManualClock(),
            drift_policy=drift,
            progress=progress,
        )

    def release(self, content: str, verdict: Verdict = PASSED, **options: object) -> Releaser:
        releaser = self.process(**options)  # type: ignore[arg-type]
        self.drive(releaser, wanted(content), verdict)
        return releaser

    def drive(self, releaser: Releaser, want: Wanted, verdict: Verdict = PASSED) -> None:
        begun = releaser.roll_out(want)
        if not begun.noop:
            self.history.put_verdict(begun.record.seq, verdict)
            releaser.conclude(None)

    def remove_the_lease(self) -> None:
        self.world.holder = ""

    def serving(self) -> str:
        """The content that takes the traffic."""
        if not self.world.live.release:
            return ""
        return self.world.running[int(self.world.live.release[1:])].identity


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_first_release_goes_live(bench: Bench) -> None:
    bench.release("one")
    assert bench.serving() == "one"
    live = bench.history.live()
    assert live is not None and live.seq == 1 and live.outcome is not None and live.outcome.serves == 1
    assert bench.world.holder == ""


def test_the_same_release_again_changes_nothing(bench: Bench) -> None:
    bench.release("one")
    again = bench.process()
    assert again.roll_out(wanted("one")).noop
    assert bench.history.sequences() == [1]
    assert not {"apply", "prepare", "switch", "lease.acquire"} & set(bench.target.calls)


def test_the_old_release_stays_beside_the_new_until_the_next_one_needs_its_slot(bench: Bench) -> None:
    bench.release("one")
    bench.release("two")
    assert sorted(bench.world.running) == [1, 2] and bench.serving() == "two"
    bench.release("three")
    assert sorted(bench.world.running) == [2, 3] and bench.serving() == "three"


def test_rejected_by_its_tests_it_is_removed_and_the_old_one_serves(bench: Bench) -> None:
    bench.release("one")
    bench.release("two", REJECTED)
    assert bench.serving() == "one" and sorted(bench.world.running) == [1]
    record = bench.history.record(2)
    assert record.outcome is not None and record.outcome.state == "rolled_back" and record.outcome.serves == 1
    assert "the api answers 500" in record.outcome.cause


def test_a_first_release_that_is_rejected_leaves_nothing_live(bench: Bench) -> None:
    bench.release("one", REJECTED)
    assert bench.serving() == "" and not bench.world.running and bench.history.live() is None


@pytest.mark.parametrize("step", ["deliver_secrets", "prepare", "apply", "offer"])
def test_a_rollout_undoes_its_own_failure_before_it_raises(bench: Bench, step: str) -> None:
    bench.release("one")
    with pytest.raises(OpsError, match=step):
        bench.release("two", fail=step)
    assert bench.serving() == "one" and sorted(bench.world.running) == [1] and bench.world.holder == ""
    assert bench.world.shared == "one", "stores and proxy are as the live release renders them"
    assert bench.history.record(2).state() == "rolled_back"


def test_a_failed_migration_stops_the_release_before_the_new_version_starts(bench: Bench) -> None:
    bench.release("one")
    releaser = bench.process(fail="cortex-os-migrate")
    said = r"^migration cortex-os-migrate failed \(exit 1\): error: it was said to fail$"
    with pytest.raises(OpsError, match=said) as caught:
        bench.drive(releaser, wanted("two", migrations=("cortex-os-migrate",)))
    assert list(caught.value.details) == ["asked", "error: it was said to fail", "    at line 3"]
    assert "apply" not in bench.target.calls and bench.serving() == "one"


def test_a_breaking_migration_is_refused_before_anything_changes(bench: Bench) -> None:
    bench.drive(bench.process(), wanted("one", head=1))
    with pytest.raises(RefusedError, match="0002 is declared breaking"):
        bench.drive(bench.process(), wanted("two", head=2, breaking=2))
    assert bench.history.sequences() == [1] and bench.world.holder == ""


def test_what_runs_without_a_record_is_not_replaced_by_a_first_release(bench: Bench) -> None:
    bench.release("one")
    elsewhere = Bench()
    elsewhere.world = bench.world
    with pytest.raises(RefusedError, match="runs r1 already, of which this store has no record"):
        elsewhere.release("two")
    assert bench.serving() == "one" and sorted(bench.world.running) == [1] and bench.world.holder == ""
    bench.release("three")
    assert bench.serving() == "three"


def test_drift_is_corrected_or_refused_by_policy(bench: Bench) -> None:
    bench.release("one")
    bench.world.changes = [Change(object="api-1", field="memory", expected=1, found=2)]
    with pytest.raises(RefusedError, match="policy is to refuse"):
        bench.release("one", drift="refuse")
    assert bench.world.holder == "" and bench.history.sequences() == [1]
    bench.release("one")
    assert bench.history.sequences() == [1, 2] and bench.serving() == "one"


def test_two_releases_at_once_the_second_is_refused_with_the_holders_name(bench: Bench) -> None:
    bench.process().roll_out(wanted("one"))
    with pytest.raises(RefusedError, match="run1"):
        bench.process().roll_out(wanted("two"))


@pytest.mark.parametrize("moment", ["apply", "tests"])
def test_a_lease_that_somebody_removes_ends_the_run_which_undoes_what_it_began(bench: Bench, moment: str) -> None:
    bench.release("one")
    releaser = bench.process()
    if moment == "apply":
        bench.target.during["apply"] = bench.remove_the_lease
        with pytest.raises(OpsError, match="the lease was taken by nobody"):
            releaser.roll_out(wanted("two"))
    else:
        bench.history.put_verdict(releaser.roll_out(wanted("two")).record.seq, PASSED)
        bench.remove_the_lease()
        with pytest.raises(OpsError, match="the lease was taken by nobody"):
            releaser.conclude(None)
    assert bench.serving() == "one" and sorted(bench.world.running) == [1] and bench.world.holder == ""
    assert not bench.history.unfinished()


def test_what_a_run_began_is_left_to_the_run_that_took_its_lease(bench: Bench) -> None:
    bench.release("one")
    slow = bench.process()
    bench.history.put_verdict(slow.roll_out(wanted("two")).record.seq, PASSED)
    bench.world.alive.discard(slow.run_id)  # as it seems from another host that has not heard of it
    quick = bench.process()
    bench.history.put_verdict(quick.roll_out(wanted("three")).record.seq, PASSED)
    with pytest.raises(OpsError, match="has no release of local in progress"):
        slow.conclude(None)
    assert sorted(bench.world.running) == [1, 3] and bench.world.holder == quick.run_id
    quick.conclude(None)
    assert bench.serving() == "three"


def test_a_run_whose_lease_was_taken_while_it_applied_undoes_nothing(bench: Bench) -> None:
    bench.release("one")
    slow = bench.process()
    target = bench.target

    def take() -> None:
        bench.world.alive.discard(slow.run_id)
        bench.process().target.lease.acquire("run3", "someone else")

    target.during["apply"] = take
    with pytest.raises(OpsError, match="the lease was taken by run3"):
        slow.roll_out(wanted("two"))
    assert sorted(bench.world.running) == [1, 2] and bench.world.holder == "run3"
    assert [one.seq for one in bench.history.unfinished()] == [2], "that run settles it"
    assert "reap" not in target.calls[target.calls.index("apply") :], "what is there now is the other run's"


def test_a_sweep_that_fails_after_an_undo_does_not_make_the_undo_a_failed_one(bench: Bench) -> None:
    bench.release("one")
    said: list[str] = []
    releaser = bench.process(fail="apply", progress=Progress(sink=said.append))
    target = bench.target
    target.during["remove"] = lambda: setattr(target, "fail", "reap")
    with pytest.raises(OpsError, match="apply failed"):
        releaser.roll_out(wanted("two"))
    assert bench.serving() == "one" and not bench.world.holder and not bench.history.unfinished()
    assert target.calls.count("reap") == 2 and not [line for line in said if "undoing" in line]


def test_a_rollback_switches_back_while_the_old_release_still_runs(bench: Bench) -> None:
    bench.release("one")
    bench.release("two")
    releaser = bench.process()
    _, earlier = releaser.rollback_plan()
    record = releaser.switch_back(earlier)
    assert record is not None and record.seq == 3 and bench.serving() == "one"
    live = bench.history.live()
    assert live is not None and live.outcome is not None and (live.seq, live.outcome.serves) == (3, 1)
    assert bench.process().roll_out(wanted("one")).noop


def test_a_rollback_over_a_breaking_migration_is_refused_with_the_reason(bench: Bench) -> None:
    bench.drive(bench.process(), wanted("one", head=1))
    live = bench.history.record(1)
    bench.drive(bench.process(), wanted("two", head=1))
    broken = bench.history.record(2).intent.model_copy(update={"seq": 3, "schema_head": 2, "schema_breaking": 2})
    bench.store.put_if_absent("releases/local/000003/intent.json", broken.to_json())
    assert live.outcome is not None
    bench.store.put_if_absent(
        "releases/local/000003/outcome.json", live.outcome.model_copy(update={"serves": 3}).to_json()
    )
    with pytest.raises(RefusedError, match="migration 0002 is breaking"):
        bench.process().rollback_plan()


def test_what_must_not_run_twice_is_stopped_before_the_new_release_starts(bench: Bench) -> None:
    bench.release("one")
    bench.release(STOP_START)
    calls = bench.target.calls
    assert calls.index("step_aside") < calls.index("apply") and bench.serving() == STOP_START
    assert bench.world.aside == {1}


@pytest.mark.parametrize("step", ["step_aside", "apply", "offer"])
def test_what_was_stopped_for_a_release_that_fails_runs_again(bench: Bench, step: str) -> None:
    bench.release("one")
    with pytest.raises(OpsError, match=step):
        bench.release(STOP_START, fail=step)
    assert bench.serving() == "one" and bench.world.aside == set() and not bench.history.unfinished()


def test_a_rollback_to_what_was_stopped_is_no_mere_switch(bench: Bench) -> None:
    bench.release("one")
    bench.release(STOP_START)
    releaser = bench.process()
    _, earlier = releaser.rollback_plan()
    assert releaser.switch_back(earlier) is None


def test_what_cannot_be_started_again_is_said_and_blocks_nothing(bench: Bench) -> None:
    bench.release("one")
    bench.drive(bench.process(fail="step_back"), wanted(STOP_START), REJECTED)
    outcome = bench.history.record(2).outcome
    assert outcome is not None and "r1 does not run again as it did: step_back failed" in outcome.cause
    assert not bench.history.unfinished() and bench.world.holder == ""
    bench.release("three")
    assert bench.serving() == "three"


def count_calls(verdict: Verdict) -> int:
    bench = Bench()
    bench.release("one")
    releaser = bench.process()
    bench.drive(releaser, wanted("two", migrations=("migrate",)), verdict)
    return len(bench.target.calls)


@pytest.mark.parametrize("content", ["two", STOP_START])
@pytest.mark.parametrize("verdict", [PASSED, REJECTED], ids=["promoted", "rejected"])
def test_killed_at_any_call_the_next_run_settles_and_either_the_old_or_the_new_serves(
    verdict: Verdict, content: str
) -> None:
    total = count_calls(verdict)
    for moment in range(1, total + 1):
        bench = Bench()
        bench.release("one")
        victim = bench.process(die_at=moment)
        with pytest.raises(Killed):
            bench.drive(victim, wanted(content, migrations=("migrate",)), verdict)
        assert bench.serving() in ("one", content), moment
        bench.world.alive.discard(victim.run_id)
        if verdict is REJECTED:
            assert bench.serving() == "one", moment
        survivor = bench.process()
        survivor.settle()
        assert not bench.history.unfinished(), moment
        live = bench.history.live()
        assert live is not None and live.outcome is not None, moment
        assert bench.world.live.release == f"r{live.outcome.serves}", moment
        assert bench.serving() == bench.world.shared == live.intent.identity, moment
        assert live.outcome.serves not in bench.world.aside, moment
        assert survivor.settle() == []
        bench.release("three")
        assert bench.serving() == "three" and bench.world.holder == "", moment
        assert len(bench.world.running) <= 2, moment


@pytest.mark.parametrize("content", ["two", STOP_START])
@pytest.mark.parametrize("verdict", [PASSED, REJECTED], ids=["promoted", "rejected"])
def test_told_to_end_at_any_call_what_is_recorded_is_what_serves(verdict: Verdict, content: str) -> None:
    total = count_calls(verdict)
    for moment in range(1, total + 1):
        bench = Bench()
        bench.release("one")
        victim = bench.process(told_at=moment)
        with pytest.raises(Told):
            bench.drive(victim, wanted(content, migrations=("migrate",)), verdict)
        victim.interrupt()
        assert not bench.history.unfinished(), moment
        live = bench.history.live()
        assert live is not None and live.outcome is not None, moment
        assert bench.world.live.release == f"r{live.outcome.serves}", moment
        assert bench.serving() == bench.world.shared == live.intent.identity, moment
        assert bench.world.holder == "" and live.outcome.serves not in bench.world.aside, moment


def test_a_first_release_killed_at_any_call_leaves_no_hand_work(bench: Bench) -> None:
    probe = Bench()
    probe.release("one")
    total = len(probe.target.calls)
    for moment in range(1, total + 1):
        bench = Bench()
        victim = bench.process(die_at=moment)
        with pytest.raises(Killed):
            bench.drive(victim, wanted("one"))
        bench.world.alive.discard(victim.run_id)
        bench.release("one")
        assert bench.serving() == "one" and not bench.history.unfinished(), moment


def test_told_to_end_it_undoes_what_it_began(bench: Bench) -> None:
    bench.release("one")
    releaser = bench.process()
    releaser.roll_out(wanted("two"))
    releaser.interrupt("told to end by SIGTERM")
    assert bench.serving() == "one" and sorted(bench.world.running) == [1] and bench.world.holder == ""
    outcome = bench.history.record(2).outcome
    assert outcome is not None and outcome.cause == "told to end by SIGTERM"
