"""`dagster job execute`, as CI types it: exit codes, and a console that people can read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.tiny import Tiny, tiny_project


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny_project(tmp_path_factory.mktemp("jobs")) as project:
        yield project


def last(text: str, lines: int = 5) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def test_a_release_exits_0_with_progress_and_without_dagsters_records(tiny: Tiny) -> None:
    done = tiny.job("release")
    assert done.returncode == 0, done.stderr
    assert "is live, tested and recorded" in done.stderr and tiny.url in done.stderr
    assert "DEBUG" not in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr
    assert tiny.get() == "one"


def test_a_rejected_release_exits_non_zero_with_the_cause_in_the_last_lines(tiny: Tiny) -> None:
    tiny.answer("bad", expected="good")
    done = tiny.job("release")
    assert done.returncode != 0
    assert "expected good, got bad" in last(done.stderr)
    assert "Traceback" not in done.stdout + done.stderr
    named = [line.split()[-1] for line in done.stderr.splitlines() if "everything that was logged" in line]
    assert named and "STEP_FAILURE" in open(named[0]).read()  # noqa: PTH123, SIM115
    assert tiny.get() == "one"


@pytest.mark.parametrize(
    ("env", "sentence"), [("lcoal", "there is no environment 'lcoal'"), ("", "needs an environment")]
)
def test_a_wrong_environment_is_named_before_anything_is_built(tiny: Tiny, env: str, sentence: str) -> None:
    done = tiny.job("release", env)
    assert done.returncode != 0
    assert sentence in last(done.stderr) and "building" not in done.stderr


def test_a_broken_stack_file_is_located_and_exits_2(tiny: Tiny) -> None:
    path = tiny.root / "deploy" / "stack.yaml"
    kept = path.read_text()
    path.write_text(kept.replace('"version": "1"', '"version": 1'))
    try:
        done = tiny.job("release")
    finally:
        path.write_text(kept)
    assert done.returncode == 2
    assert "stack.yaml:1:" in done.stderr and "version: found 1 (a number)" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("job", ["health", "upkeep", "build"])
def test_the_other_jobs_exit_0(tiny: Tiny, job: str) -> None:
    done = tiny.job(job)
    assert done.returncode == 0, done.stderr


def test_a_run_that_dagster_would_forget_is_refused_before_it_begins(tiny: Tiny) -> None:
    done = tiny.job("release", variables={"DAGSTER_HOME": ""})
    assert done.returncode == 2
    assert "DAGSTER_HOME is not set" in last(done.stderr) and "make setup" in last(done.stderr)
    assert "building" not in done.stderr and "Traceback" not in done.stderr
