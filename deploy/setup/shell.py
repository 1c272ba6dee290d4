"""Running programs and saying what happens, with the standard library only: it serves before anything is installed.

Plain lines on stderr, the same on a terminal and in a pipe; long steps say every twenty seconds that they go on.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

STILL = 20.0
# Descriptors of the locks that are held. Programs inherit them: when set-up is killed and leaves one running, the
# next set-up waits until that one has ended too.
HELD: list[int] = []


class SetupError(Exception):
    """One clear sentence; `remedy` says what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


def said(call: Callable[[], object]) -> int:
    """The exit code of a command; what goes wrong is said in a sentence or two."""
    try:
        call()
    except SetupError as error:
        say(f"✗ {error.message}")
        if error.remedy:
            say(f"  → {error.remedy}")
        return 2
    except OSError as error:
        say(f"✗ {error.filename or 'set-up'}: {error.strerror or error}")
        return 2
    except KeyboardInterrupt:
        say("✗ interrupted; what was half done is done again next time")
        return 130
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Say when it begins, that it goes on, and how it ended after how many seconds."""
    say(f"· {what}")
    began = time.monotonic()
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(STILL):
            say(f"  … {what} ({time.monotonic() - began:.0f} s)")

    threading.Thread(target=tick, daemon=True).start()
    try:
        yield
    except BaseException:
        ended.set()
        say(f"✗ {what} failed after {time.monotonic() - began:.1f} s")
        raise
    ended.set()
    say(f"✓ {what} ({time.monotonic() - began:.1f} s)")


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline: float = 900,
    check: bool = True,
    remedy: str = "",
) -> subprocess.CompletedProcess[str]:
    """Raises `SetupError` with the program's last lines, and with `remedy`."""
    name = Path(str(argv[0])).name
    try:
        done = subprocess.run(
            [str(a) for a in argv],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=deadline,
            stdin=subprocess.DEVNULL,
            pass_fds=HELD,
            check=False,
        )
    except (FileNotFoundError, PermissionError):
        raise SetupError(f"{name} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise SetupError(f"{name} did not end within {deadline:g} s", remedy) from None
    if check and done.returncode:
        raise _failed(argv, done.returncode, (done.stderr or done.stdout).splitlines(), remedy)
    return done


def stream(
    argv: Sequence[str | Path],
    on_line: Callable[[str], None],
    *,
    env: Mapping[str, str] | None = None,
    deadline: float = 1800,
) -> None:
    """Run and hand over each line as it comes; raises `SetupError` with the last ones when it fails."""
    last: deque[str] = deque(maxlen=40)
    with subprocess.Popen(
        [str(a) for a in argv],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=HELD,
        start_new_session=True,
    ) as child:
        late = threading.Timer(deadline, child.kill)
        late.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                last.append(line.rstrip())
                on_line(line.rstrip())
            code = child.wait()
        except BaseException:
            child.kill()
            raise
        finally:
            too_late = not late.is_alive()
            late.cancel()
    if too_late:
        raise SetupError(f"{Path(str(argv[0])).name} did not end within {deadline:g} s")
    if code:
        raise _failed(argv, code, list(last))


def _failed(argv: Sequence[str | Path], code: int, lines: Sequence[str], remedy: str = "") -> SetupError:
    tail = [line for line in lines if line.strip()][-8:]
    return SetupError(f"{' '.join(map(str, argv[:3]))} failed (exit {code}): " + "\n    ".join(tail), remedy)
