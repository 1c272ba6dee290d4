"""Programs are started, watched and ended as promised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.process import Pipeline, ProcessError, Stage, leftovers, process_start, run
from cortex_ops.kernel.redact import Secret


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int, seconds: float = 3.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_output_and_code_come_back() -> None:
    done = run(sh("echo out; echo err >&2"))
    assert (done.code, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_a_failure_names_the_program_and_its_last_telling_line() -> None:
    with pytest.raises(ProcessError, match=r"building failed \(exit 3\): error: no such base image"):
        run(sh("echo working; echo 'error: no such base image' >&2; echo bye >&2; exit 3"), what="building")


def test_a_program_that_hangs_is_ended_with_its_children_at_the_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineError, match=r"did not end within 0\.5 s") as caught:
        run(sh("sleep 60 & echo $! >&2; wait"), deadline=0.5)
    assert time.monotonic() - began < 5
    assert gone(int(caught.value.details[0]))


def test_giving_up_early_ends_the_program() -> None:
    def watch() -> None:
        raise OpsError("beyond hope")

    began = time.monotonic()
    with pytest.raises(OpsError, match="beyond hope"):
        run(sh("sleep 60"), watch=watch)
    assert time.monotonic() - began < 5


def test_a_missing_program_is_one_sentence() -> None:
    with pytest.raises(OpsError, match="cannot start no-such-program: no-such-program does not exist"):
        run(["no-such-program"])


def test_known_secrets_never_come_back_in_output() -> None:
    secret = Secret("hunter2-and-more", "password")
    done = run(sh("cat"), stdin=secret.reveal())
    assert "hunter2" not in done.stdout and "redacted" in done.stdout


def test_large_input_and_output_do_not_deadlock() -> None:
    data = b"x" * 3_000_000
    assert len(run(["cat"], stdin=data, deadline=20).stdout) == len(data)


def test_lines_are_shown_as_they_come() -> None:
    lines: list[str] = []
    run(sh("printf 'a\\nb'"), on_line=lines.append)
    assert lines == ["a", "b"]


def drain(pipeline: Pipeline) -> bytes:
    return pipeline.stdout.read()


def test_a_pipeline_gives_the_last_stages_output() -> None:
    with Pipeline([Stage(sh("printf abc"), "source"), Stage(["tr", "a-z", "A-Z"], "upper")]) as pipeline:
        assert drain(pipeline) == b"ABC"
        pipeline.wait(5)


def test_a_producer_that_dies_fails_the_pipeline_although_the_consumer_was_content() -> None:
    with Pipeline([Stage(sh("printf part; exit 7"), "dump"), Stage(["gzip"], "compress")]) as pipeline:
        drain(pipeline)
        with pytest.raises(OpsError, match=r"dump failed \(exit 7\)"):
            pipeline.wait(5)


def test_a_killed_producer_fails_the_pipeline() -> None:
    with Pipeline([Stage(sh("printf part; kill -9 $$"), "dump"), Stage(["cat"], "copy")]) as pipeline:
        drain(pipeline)
        with pytest.raises(OpsError, match=r"dump failed \(exit -9\)"):
            pipeline.wait(5)


def test_the_stage_that_broke_is_blamed_not_the_one_that_lost_its_pipe() -> None:
    with Pipeline([Stage(["yes"], "dump"), Stage(sh("head -c1 >/dev/null; exit 4"), "encrypt")]) as pipeline:
        drain(pipeline)
        with pytest.raises(OpsError, match=r"encrypt failed \(exit 4\)"):
            pipeline.wait(5)


def test_leaving_a_pipeline_ends_every_stage() -> None:
    with Pipeline([Stage(["sleep", "60"], "one"), Stage(["cat"], "two")]) as pipeline:
        pids = [child.pid for child in pipeline._children]
    assert all(gone(pid) for pid in pids)


def test_processes_of_a_dead_run_are_found_by_their_tag() -> None:
    child = subprocess.Popen(["sleep", "60"], env={**os.environ, "CORTEX_OPS_RUN": "run-4711"})
    try:
        end = time.monotonic() + 3
        while child.pid not in leftovers("run-4711") and time.monotonic() < end:
            time.sleep(0.02)  # until exec has replaced the environment
        assert leftovers("run-4711") == [child.pid]
        assert leftovers("run-471") == []
    finally:
        child.kill()
        child.wait()


def test_a_process_identity_differs_after_its_end() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_start(child.pid)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert process_start(child.pid) is None
