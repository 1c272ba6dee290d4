"""`make demo` told to end, with a script in the place of Dagster that needs a while for its undoing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

JOB = """#!/bin/sh
trap 'sleep 1; echo undone > "$(dirname "$0")/undone"; exit 1' TERM
echo began
for _ in $(seq 400); do sleep 0.05; done
"""
DEMO = """
import sys
from cortex_ops.cli import demo
from cortex_ops.kernel.interrupts import end_on_sigterm
end_on_sigterm()
sys.executable = sys.argv[1]
sys.exit(demo._execute("release", "local", "."))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_told_to_end_lets_its_job_undo_what_it_began_and_fails(tmp_path: Path, number: int) -> None:
    job = tmp_path / "job"
    job.write_text(JOB)
    job.chmod(0o755)
    with subprocess.Popen([sys.executable, "-c", DEMO, job], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None and demo.stdout.readline() == "began\n"
        os.kill(demo.pid, number)
        code = demo.wait(20)
    assert (tmp_path / "undone").is_file()
    assert code == 130
