"""Starting and stopping the bare machine's own daemons: each in its own session, each stopped by its own pid.

What is started and why is decided elsewhere. A daemon that runs is never replaced here, however slow it answers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.shell import SetupError

# Variables of whoever runs set-up that a daemon for the whole machine must not inherit.
NOT_INHERITED = ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DAGSTER_HOME")
# The daemon records its own pid and start time before it becomes what it is: whoever starts it may be killed at any
# moment, and there is never one that runs and is not known.
RECORDED = 'echo "$$ $(cut -d" " -f22 /proc/$$/stat)" >"$0.partial" && mv "$0.partial" "$0" && exec "$@"'


@dataclass(frozen=True)
class Daemon:
    """`pid_file` holds the pid and its start time, so that a number taken by another process is noticed."""

    name: str
    argv: tuple[str, ...]
    pid_file: Path
    log: Path
    path: str = ""

    def running(self) -> bool:
        return self._pid() is not None

    def _pid(self) -> int | None:
        try:
            number, started = self.pid_file.read_text().split()
            pid = int(number)
        except (OSError, ValueError):
            return None
        return pid if start_time(pid) == started else None

    def start(self, ready: Callable[[], bool], deadline: float = 40.0) -> None:
        """Start unless it runs. Raise with the log's last lines when it ends, or is not ready after `deadline` s;
        one that ran before and does not answer is left alone, since containers may depend on it."""
        if self.running():
            if self._wait(ready, deadline, self.running):
                return
            if (pid := self._pid()) is not None:
                raise SetupError(
                    f"{self.name} runs (pid {pid}) and does not answer within {deadline:g} s",
                    f"see its log {self.log}, or stop it: kill {pid}",
                )
            # It was about to end.
        self.pid_file.unlink(missing_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        skip = [n for n in os.environ if n in NOT_INHERITED or n.startswith("CORTEX_OPS_")]
        env = {k: v for k, v in os.environ.items() if k not in skip}
        env["PATH"] = f"{self.path}:{env.get('PATH', '')}".strip(":")
        with self.log.open("ab") as log:
            begin = log.tell()
            child = subprocess.Popen(
                ("sh", "-c", RECORDED, str(self.pid_file), *self.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                cwd="/",
                umask=0o022,
                start_new_session=True,
            )
        if self._wait(ready, deadline, lambda: child.poll() is None):
            return
        self.stop()
        with self.log.open("rb") as log:
            log.seek(begin)
            tail = "\n    ".join(log.read().decode(errors="replace").splitlines()[-8:])
        raise SetupError(f"{self.name} did not start; its log {self.log} ends with:\n    {tail}")

    def _wait(self, ready: Callable[[], bool], deadline: float, alive: Callable[[], bool]) -> bool:
        end = time.monotonic() + deadline
        while alive() and time.monotonic() < end:
            if ready():
                return True
            time.sleep(0.1)
        return False

    def stop(self, grace: float = 20.0) -> bool:
        """SIGTERM, then SIGKILL after `grace` seconds; true when something was stopped."""
        pid = self._pid()
        if pid is None:
            self.pid_file.unlink(missing_ok=True)
            return False
        for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            end = time.monotonic() + wait
            while time.monotonic() < end and self._pid() is not None:
                time.sleep(0.05)
                with contextlib.suppress(ChildProcessError, OSError):
                    os.waitpid(pid, os.WNOHANG)
            if self._pid() is None:
                break
        self.pid_file.unlink(missing_ok=True)
        return True

    def signal(self, number: int) -> None:
        if (pid := self._pid()) is not None:
            os.kill(pid, number)


def start_time(pid: int) -> str | None:
    """The kernel's start time of a process that lives (a zombie does not)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields[19]


def listens(path: Path) -> bool:
    """Somebody accepts on this socket; a file that a killed daemon left behind does not count."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
