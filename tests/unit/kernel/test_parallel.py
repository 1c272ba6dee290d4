"""Tasks that wait at the same time: order, failures, and being told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.parallel import at_once

TOLD = """
import os, signal, sys, threading, time
from cortex_ops.kernel.errors import InterruptedByUser
from cortex_ops.kernel.interrupts import end_on_sigterm
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.process import run
end_on_sigterm()
def sleep():
    os.write(1, b"began\\n")  # at once, while `print` writes the end of the line for itself
    run(["sleep", "60"], deadline=90)
try:
    at_once([sleep, sleep])
except InterruptedByUser:
    print("told", flush=True)
"""


def test_results_come_in_the_order_of_the_tasks_and_the_tasks_run_at_the_same_time() -> None:
    met = threading.Barrier(3, timeout=20)

    def task(number: int) -> int:
        met.wait()  # passes only when all three are here
        return number

    assert at_once([lambda: task(1), lambda: task(2), lambda: task(3)]) == [1, 2, 3]
    assert at_once([]) == []


def test_the_first_failure_is_raised_once_all_have_ended() -> None:
    ended = threading.Event()

    def slow() -> None:
        time.sleep(0.2)
        ended.set()

    def fail() -> None:
        raise OpsError("the port is taken")

    with pytest.raises(OpsError, match="the port is taken"):
        at_once([slow, fail])
    assert ended.is_set()


def test_told_to_end_it_ends_what_its_tasks_run_and_what_they_were_about_to_start() -> None:
    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", TOLD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert [child.stdout.readline() for _ in range(2)] == ["began\n", "began\n"]
        child.send_signal(signal.SIGTERM)
        assert child.stdout.readline() == "told\n"
        assert child.wait(20) == 0
    assert time.monotonic() - began < 30, "the programs of its tasks ran to their end"
