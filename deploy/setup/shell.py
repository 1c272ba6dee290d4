"""Running programs and saying what happens, before anything is installed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path


class SetupError(Exception):
    """One clear sentence; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    say(f"· {what}")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"✗ {what} failed after {time.monotonic() - began:.1f} s")
        raise
    say(f"✓ {what} ({time.monotonic() - began:.1f} s)")


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline: float = 900,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Raises `SetupError` with the program's last lines."""
    name = Path(str(argv[0])).name
    try:
        done = subprocess.run(
            [str(a) for a in argv],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=deadline,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError:
        raise SetupError(f"{name} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise SetupError(f"{name} did not end within {deadline:g} s") from None
    if check and done.returncode:
        tail = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-8:]
        raise SetupError(f"{' '.join(map(str, argv[:3]))} failed (exit {done.returncode}): " + "\n    ".join(tail))
    return done
