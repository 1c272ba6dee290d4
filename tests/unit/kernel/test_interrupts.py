"""A signal whose exception Python drops is not lost, and no trace of it reaches the console."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = """
import os, signal, sys, time, weakref
from cortex_ops.kernel.errors import InterruptedByUser
from cortex_ops.kernel.interrupts import end_on_sigterm
end_on_sigterm()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born deaf to it
class Thing: pass
def dropped(_reference): {in_the_callback}
thing = Thing()
reference = weakref.ref(thing, dropped)
try:
    del thing
    for _ in range(500): time.sleep(0.01)
    print("went on")
except (InterruptedByUser, KeyboardInterrupt) as error:
    print(type(error).__name__)
"""


def run(in_the_callback: str) -> subprocess.CompletedProcess[str]:
    program = HEAD.format(in_the_callback=in_the_callback)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("number", "raised"), [("SIGTERM", "InterruptedByUser"), ("SIGINT", "KeyboardInterrupt")])
def test_a_signal_in_the_callback_of_a_weak_reference_still_ends_the_run(number: str, raised: str) -> None:
    done = run(f"os.kill(os.getpid(), signal.{number})")
    assert (done.stdout, done.stderr, done.returncode) == (f"{raised}\n", "", 0)


def test_another_exception_there_is_shown_as_always() -> None:
    done = run("raise ValueError('a defect')")
    assert done.stdout == "went on\n" and "ValueError: a defect" in done.stderr
