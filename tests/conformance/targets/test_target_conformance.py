"""What every target promises about end states; asked of each implementation, and of the stand-in that the release
machine's own tests use, which is worth as much as it keeps the same promises."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cortex_ops.kernel.errors import OpsError, RefusedError
from cortex_ops.kernel.values import ImageLock, ImageRef
from cortex_ops.targets.protocol import Live, Target
from tests.conformance.targets.settings import BROKEN, Setting, compose, in_memory, on_cluster

KINDS = {"stand-in": in_memory, "compose": compose, "kubernetes": on_cluster}
# Where two releases stand beside each other; on a cluster one replaces the other.
BESIDE = ("stand-in", "compose")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "setting" in metafunc.fixturenames:
        kinds = BESIDE if metafunc.definition.get_closest_marker("beside") else tuple(KINDS)
        metafunc.parametrize("setting", kinds, indirect=True, scope="module")


@pytest.fixture(scope="module")
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with KINDS[request.param](tmp_path_factory.mktemp("target")) as made:
        first = made.placed(1, "one")
        for _ in range(2):  # what is delivered and prepared already is left alone
            made.target("prepares").deliver_secrets(first, {})
            made.target("prepares").prepare(first)
        yield made


@pytest.fixture
def target(setting: Setting) -> Iterator[Target]:
    """Nothing runs but what outlives releases; nothing has the traffic, nobody the lease."""
    made = setting.target("mine")
    made.lease.acquire("mine", "someone")
    yield made
    made.close()
    for seq in made.releases():
        made.remove(seq)
    made.lease.acquire("mine", "someone")
    made.lease.release()


def test_before_the_first_release_nothing_is_live(target: Target) -> None:
    assert target.live() == Live()
    assert target.releases() == []
    assert not target.present(1)


def test_a_candidate_that_is_up_has_no_traffic(target: Target, setting: Setting) -> None:
    target.apply(setting.placed(1, "one"))
    assert target.present(1) and target.releases() == [1]
    assert target.live() == Live()


def test_the_candidates_entrance_opens_and_closes_beside_the_live_release(target: Target, setting: Setting) -> None:
    first, second = setting.placed(1, "one"), setting.placed(2, "two")
    target.apply(first)
    target.switch(first)
    target.apply(second)
    target.offer(second)
    assert target.live() == Live(release="r1", slot="a", candidate="b")
    target.retract_candidate()
    assert target.live() == Live(release="r1", slot="a")


@pytest.mark.beside
def test_a_switch_is_read_back_and_so_is_the_switch_back(target: Target, setting: Setting) -> None:
    first, second = setting.placed(1, "one"), setting.placed(2, "two")
    for placed in (first, second):
        target.apply(placed)
        target.switch(placed)
    assert target.live() == Live(release="r2", slot="b")
    assert target.present(1) and target.releases() == [1, 2]
    target.switch(first)
    assert target.live() == Live(release="r1", slot="a")


def test_an_earlier_release_is_brought_back_by_applying_and_switching(target: Target, setting: Setting) -> None:
    first, second = setting.placed(1, "one"), setting.placed(2, "two")
    for placed in (first, second, first):
        target.apply(placed)
        target.switch(placed)
        assert target.live() == Live(release=f"r{placed.placement.seq}", slot=placed.placement.slot)
        assert target.present(placed.placement.seq) and target.drift(placed, placed.placement.seq) == []


def test_after_a_close_nothing_is_live_and_everything_still_runs(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    target.switch(first)
    target.close()
    assert target.live() == Live()
    assert target.present(1)


def test_what_runs_as_rendered_has_no_drift_and_what_is_gone_has(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    assert target.drift(first, 1) == []
    target.remove(1)
    assert target.drift(first, 1)


def test_applying_twice_changes_nothing(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    target.apply(first)
    assert target.releases() == [1] and target.drift(first, 1) == []


def test_removing_one_release_leaves_the_other_and_may_be_repeated(target: Target, setting: Setting) -> None:
    first, second = setting.placed(1, "one"), setting.placed(2, "two")
    for placed in (first, second):
        target.apply(placed)
    target.switch(second)
    for _ in range(2):
        assert target.remove(1).problems == ()
        assert target.releases() == [2] and target.present(2)
    assert target.live().release == "r2"


def test_a_release_that_never_gets_ready_is_an_error_and_the_live_one_stays(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    target.switch(first)
    broken = setting.placed(2, BROKEN)
    with pytest.raises(OpsError, match="api"):
        target.apply(broken)
    assert not target.present(2)
    target.restore(first, broken)
    assert target.present(1) and target.live().release == "r1"
    target.remove(2)
    assert target.releases() == [1]


@pytest.mark.beside
def test_what_must_not_run_twice_steps_aside_and_comes_back(target: Target, setting: Setting) -> None:
    first, second = setting.placed(1, "one"), setting.alone(2)
    target.apply(first)
    target.switch(first)
    target.step_aside(first, second)
    assert not target.present(1) and target.releases() == [1]
    target.apply(second)
    assert target.present(2) and not target.present(1)
    target.step_back(first, second)
    assert target.present(1) and not target.present(2)
    assert target.live().release == "r1" and target.drift(first, 1) == []


@pytest.mark.beside
def test_what_may_run_beside_another_is_left_alone(target: Target, setting: Setting) -> None:
    first, second = setting.placed(1, "one"), setting.placed(2, "two")
    for placed in (first, second):
        target.apply(placed)
    target.step_aside(first, second)
    target.step_back(first, second)
    assert target.present(1) and target.present(2)


def test_stepping_back_may_be_repeated_and_needs_no_candidate(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    for _ in range(2):
        target.step_back(first, setting.alone(2))
    assert target.present(1) and target.releases() == [1]


def test_a_jobs_end_is_a_result_and_no_error(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    target.offer(first)
    done = target.run_job(first, "integration-tests", deadline=60)
    assert done.code == 0, done
    assert "asked" in done.output


def test_a_job_that_is_not_there_is_a_result_with_its_cause(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    done = target.run_job(first, "no-such-job", deadline=60)
    assert done.code != 0
    assert "no-such-job" in done.cause + done.output


def test_every_service_has_its_last_lines(target: Target, setting: Setting) -> None:
    first = setting.placed(1, "one")
    target.apply(first)
    assert [name for name in target.logs(1) if "api" in name]


def test_a_lock_of_another_engine_is_refused_by_name(target: Target) -> None:
    ref = ImageRef(fingerprint="f", image_id=f"sha256:{'0' * 64}", engine_id="another")
    found = target.lock_findings(ImageLock(source_revision="r", source_dirty=False, images={"api": ref}))
    assert len(found) == 1 and found[0].startswith("api: ") and "another" in found[0]


def test_reaping_a_run_that_left_nothing_is_nothing(target: Target) -> None:
    assert target.reap("a run that never was").removed == ()


def test_a_lease_has_one_holder_who_is_named_to_the_second(target: Target, setting: Setting) -> None:
    with pytest.raises(RefusedError, match="mine"):
        setting.target("other").lease.acquire("other", "someone else")
    target.lease.check()
    holder = target.lease.holder()
    assert holder is not None and holder.owner == "mine"


def test_a_lease_that_was_given_up_is_free(target: Target, setting: Setting) -> None:
    target.lease.release()
    assert target.lease.holder() is None
    other = setting.target("other").lease
    other.acquire("other", "someone else")
    with pytest.raises(OpsError, match="other"):
        target.lease.check()
    other.release()


def test_its_holder_may_take_a_lease_again_in_another_process(target: Target, setting: Setting) -> None:
    again = setting.target("mine").lease
    again.acquire("mine", "someone")
    again.check()
    target.lease.check()


def test_the_lease_of_a_process_that_died_is_taken_over_at_once(target: Target, setting: Setting) -> None:
    target.lease.release()
    setting.die_holding_the_lease("gone")
    assert target.lease.dead()
    target.lease.acquire("mine", "someone")
    target.lease.check()
