"""Starting and stopping the bare machine's own daemons: each in its own session, each stopped by its own pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.shell import SetupError


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
        except (OSError, ValueError):
            return None
        return int(number) if start_time(int(number)) == started else None

    def start(self, ready: Callable[[], bool], deadline: float = 40.0) -> None:
        """Start unless it runs; raise with the log's last lines when it does not become ready."""
        if self.running() and ready():
            return
        self.stop()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "PATH": f"{self.path}:{os.environ.get('PATH', '')}"}
        for name in ("DOCKER_HOST", "DOCKER_CONFIG", "CORTEX_OPS_RUN"):
            env.pop(name, None)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )
        self.pid_file.write_text(f"{child.pid} {start_time(child.pid)}")
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if ready():
                return
            if child.poll() is not None:
                break
            time.sleep(0.1)
        tail = "\n    ".join(self.log.read_text(errors="replace").splitlines()[-8:])
        self.stop()
        raise SetupError(f"{self.name} did not start; its log {self.log} ends with:\n    {tail}")

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


def start_time(pid: int) -> str | None:
    """The kernel's start time of a process that lives (a zombie does not)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] == "Z" else fields[19]
