"""Services that must not run twice: the old one is stopped before the new one starts, and comes back if it fails."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortex_ops import pipeline
from cortex_ops.kernel.errors import OpsError
from tests.support.beside import beside
from tests.support.engine import docker
from tests.support.release_torture import start
from tests.support.tiny import Tiny, tiny_project


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A system for a small machine, with release `one` live; each test leaves some release live."""
    with tiny_project(tmp_path_factory.mktemp("tiny")) as project:
        project.stack({"environments": {"local": {"strategy": "recreate", "start_deadline": 30}}})
        assert project.release().ok
        yield project


def running(tiny: Tiny) -> list[str]:
    filters = [f"label=org.cortex-ops.project={tiny.prefix}", "label=org.cortex-ops.role=service", "status=running"]
    flags = [part for one in filters for part in ("--filter", one)]
    return docker("ps", *flags, "--format", "{{.Names}}").split()


@contextmanager
def never_two(tiny: Tiny) -> Iterator[None]:
    """Looked at all the while."""
    seen: list[list[str]] = []
    with beside(lambda: seen.append(running(tiny)), 0.05):
        yield
    assert max(len(names) for names in seen) == 1, seen
    assert len({name for names in seen for name in names}) == 2, "the old and the new one were both seen, in turn"


def test_the_two_never_run_at_once_and_the_new_one_serves(tiny: Tiny) -> None:
    tiny.answer("two")
    with never_two(tiny):
        assert tiny.release().ok
    assert tiny.get() == "two"
    assert tiny.release().noop, "what was stopped for it is no drift"


def test_a_release_that_its_tests_reject_gives_its_place_back(tiny: Tiny) -> None:
    before = tiny.get()
    tiny.answer("bad", expected="something else")
    with never_two(tiny):
        step = tiny.release()
    assert not step.ok and tiny.get() == before and len(running(tiny)) == 1


def test_a_release_that_crashes_gives_its_place_back(tiny: Tiny) -> None:
    before = tiny.get()
    tiny.answer("crash", mode="crash")
    with pytest.raises(OpsError, match="api"):
        tiny.release()
    assert tiny.get() == before and len(running(tiny)) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_while_the_old_one_is_stopped_it_runs_again_without_a_hand(tiny: Tiny, number: int) -> None:
    before = tiny.get()
    tiny.answer("never live")
    with start(tiny) as victim:
        assert victim.wait_for("· integration tests"), victim.lines
        victim.strike(number)
        assert victim.end() != 0
    if number == signal.SIGKILL:
        pipeline.settle(tiny.wire(), "local")
    assert tiny.get() == before and len(running(tiny)) == 1
    record = tiny.wire().history("local").records(limit=1)[0]
    assert record.state() == "rolled_back"


def test_a_rollback_brings_the_stopped_one_back_as_a_release_of_its_own(tiny: Tiny) -> None:
    before = tiny.get()
    tiny.answer("to be left")
    assert tiny.release().ok and tiny.get() == "to be left"
    done = tiny.job("rollback")
    assert done.returncode == 0, done.stderr
    assert tiny.get() == before and len(running(tiny)) == 1


def test_only_the_service_that_says_so_is_stopped(tmp_path: Path) -> None:
    with tiny_project(tmp_path) as tiny:
        api = tiny.stack()["services"]["api"]
        worker = {key: value for key, value in api.items() if key != "route"}
        tiny.stack({"services": {"worker": {**worker, "handover": "stop_start"}}})
        assert tiny.release().ok
        tiny.answer("two")
        w = tiny.prepared()
        pipeline.rollout(w, "local")
        assert [name.rpartition("-local-")[2] for name in sorted(running(tiny))] == [
            "r1-api-r1-1",
            "r2-api-r2-1",
            "r2-worker-r2-1",
        ]
        assert tiny.get() == "one"
        pipeline.integration_tests(w, "local")
        assert pipeline.release(w, "local").ok and tiny.get() == "two"
