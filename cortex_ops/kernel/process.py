"""The one place that starts programs: each in a session of its own, with a deadline, its group ended with us.

Builders elsewhere return argument lists; only `run` and `pipeline` execute them. Children are tagged with
`CORTEX_OPS_RUN` in their environment, so that a later run can find those that a SIGKILL left behind.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.redact import redact

RUN_VARIABLE = "CORTEX_OPS_RUN"
_TAIL = 200
_live: set[int] = set()
_live_lock = threading.Lock()


@dataclass(frozen=True)
class Completed:
    """What a program gave: its exit code, its output (text, redacted) and how long it took in seconds."""

    argv: tuple[str, ...]
    code: int
    stdout: str
    stderr: str
    seconds: float

    def tail(self, lines: int = 25) -> list[str]:
        """The last non-empty lines, standard error first choice."""
        text = self.stderr if self.stderr.strip() else self.stdout
        return [line for line in text.splitlines() if line.strip()][-lines:]


class ProcessError(OpsError):
    """A program ended with a code that its caller did not expect."""

    def __init__(self, what: str, done: Completed) -> None:
        tail = done.tail()
        cause = telling(tail)
        super().__init__(
            f"{what} failed (exit {done.code})" + (f": {cause}" if cause else ""),
            details=tail,
        )
        self.done = done


def telling(lines: Sequence[str]) -> str:
    """Of a program's last lines the one that says why: the last that speaks of an error, else the last."""
    for line in reversed(lines):
        if "error" in line.lower() or "failed" in line.lower():
            return line.strip()
    return lines[-1].strip() if lines else ""


def run(
    argv: Sequence[str],
    *,
    what: str = "",
    deadline: float = 600.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: bytes | None = None,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
    watch: Callable[[], None] | None = None,
) -> Completed:
    """Run one program to its end.

    `env` is added to ours. `on_line` gets each line of both outputs as it comes; `watch` is
    called a few times a second and may raise to give up early. Raises `ProcessError` on a
    non-zero exit (unless `check` is false), `DeadlineError` after `deadline` seconds, `OpsError` when the
    program does not exist. The whole process group is ended in every exceptional case.
    """
    what = what or Path(argv[0]).name
    began = time.monotonic()
    with spawn(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        out, err = _communicate(child, stdin, began + deadline, on_line, what, deadline, watch)
    done = Completed(tuple(argv), child.returncode, redact(out), redact(err), time.monotonic() - began)
    if check and done.code != 0:
        raise ProcessError(what, done)
    return done


@contextlib.contextmanager
def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program in its own session; at the end of the block its group is gone, whatever happened."""
    full = {**os.environ, **(env or {})}
    try:
        child = subprocess.Popen(
            list(argv),
            env=full,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        missing = cwd if cwd is not None and not Path(cwd).exists() else argv[0]
        raise OpsError(
            f"cannot start {argv[0]}: {missing} does not exist", remedy="run `cortex-ops doctor`"
        ) from error
    except PermissionError as error:
        raise OpsError(f"cannot start {argv[0]}: permission denied") from error
    with _live_lock:
        _live.add(child.pid)
    try:
        yield child
    finally:
        end_group(child)
        with _live_lock:
            _live.discard(child.pid)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def end_group(child: subprocess.Popen[bytes], grace: float = 3.0) -> None:
    """SIGTERM the child's group, then SIGKILL what is left after `grace` seconds; reap the child."""
    if child.poll() is None:
        _signal_group(child.pid, signal.SIGTERM)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            _signal_group(child.pid, signal.SIGKILL)
            child.wait()
    # Grandchildren may outlive the leader; the group keeps its number until the last one is gone.
    _signal_group(child.pid, signal.SIGKILL)


def end_all(grace: float = 3.0) -> None:
    """End every group that this process started and that still lives; signal handlers call it."""
    with _live_lock:
        pids = list(_live)
    for pid in pids:
        _signal_group(pid, signal.SIGTERM)
    end = time.monotonic() + grace
    while time.monotonic() < end and any(_group_exists(pid) for pid in pids):
        time.sleep(0.05)
    for pid in pids:
        _signal_group(pid, signal.SIGKILL)


def end_all_until(ended: Callable[[], bool]) -> None:
    """`end_all` as often as it takes: a thread that was about to start its next program starts it after all."""
    end_all()
    while not ended():
        time.sleep(0.05)
        end_all()


def _group_exists(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal_group(pgid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, number)


def _communicate(
    child: subprocess.Popen[bytes],
    stdin: bytes | None,
    until: float,
    on_line: Callable[[str], None] | None,
    what: str,
    deadline: float,
    watch: Callable[[], None] | None,
) -> tuple[str, str]:
    """Feed and read without ever blocking past `until`."""
    if stdin is not None:
        assert child.stdin is not None
        writer = threading.Thread(target=_feed, args=(child.stdin, stdin), daemon=True)
        writer.start()
    chunks: dict[str, list[bytes]] = {"out": [], "err": []}
    pending: dict[str, bytes] = {"out": b"", "err": b""}
    with selectors.DefaultSelector() as selector:
        assert child.stdout is not None and child.stderr is not None
        selector.register(child.stdout, selectors.EVENT_READ, "out")
        selector.register(child.stderr, selectors.EVENT_READ, "err")
        while selector.get_map():
            left = until - time.monotonic()
            if left <= 0:
                end_group(child)
                lines = redact(b"".join(chunks["err"] or chunks["out"]).decode(errors="replace")).splitlines()[-25:]
                raise DeadlineError(f"{what} did not end within {deadline:g} s", details=lines)
            if watch is not None:
                watch()
            for key, _ in selector.select(min(left, 1.0 if watch is None else 0.25)):
                data = os.read(key.fd, 65536)
                name = key.data
                if not data:
                    selector.unregister(key.fileobj)
                    continue
                chunks[name].append(data)
                if on_line is not None:
                    pending[name] += data
                    *lines_, pending[name] = pending[name].split(b"\n")
                    for line in lines_:
                        on_line(redact(line.decode(errors="replace").rstrip("\r")))
    for rest in pending.values():
        if rest and on_line is not None:
            on_line(redact(rest.decode(errors="replace")))
    try:
        child.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(f"{what} closed its output but did not end within {deadline:g} s") from error
    return (
        b"".join(chunks["out"]).decode(errors="replace"),
        b"".join(chunks["err"]).decode(errors="replace"),
    )


def _feed(stream: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, OSError):
        stream.write(data)
        stream.close()


# --- pipelines ---------------------------------------------------------------------------------------------


@dataclass
class Stage:
    """One program of a pipeline. `what` names it in errors; `env` is added to ours."""

    argv: Sequence[str]
    what: str
    env: Mapping[str, str] = field(default_factory=dict)
    pass_fds: Sequence[int] = ()


class Pipeline:
    """Programs joined by pipes. Leaving the block normally *requires* `wait()` to have been called.

    Every stage is watched: the first that fails ends its siblings, and `wait` raises with its name and last
    error lines. A reader that sees end-of-file must not trust it before `wait()` returned, because a producer
    that died looks just like one that finished (rule learned from truncated uploads elsewhere).
    """

    def __init__(self, stages: Sequence[Stage], *, stdin: int | IO[bytes] | None = subprocess.DEVNULL) -> None:
        self.stages = list(stages)
        self._stdin = stdin
        self._stack = contextlib.ExitStack()
        self._children: list[subprocess.Popen[bytes]] = []
        self._tails: list[list[str]] = []
        self._threads: list[threading.Thread] = []
        self.stdout: IO[bytes]

    def __enter__(self) -> Pipeline:
        source: int | IO[bytes] | None = self._stdin
        try:
            for stage in self.stages:
                child = self._stack.enter_context(
                    spawn(
                        stage.argv,
                        env=stage.env,
                        stdin=source,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                        pass_fds=stage.pass_fds,
                    )
                )
                if self._children and self._children[-1].stdout is not None:
                    self._children[-1].stdout.close()  # only the next stage may hold it, or SIGPIPE is lost
                self._children.append(child)
                tail: list[str] = []
                self._tails.append(tail)
                assert child.stderr is not None
                thread = threading.Thread(target=_collect, args=(child.stderr, tail), daemon=True)
                thread.start()
                self._threads.append(thread)
                source = child.stdout
        except BaseException:
            self._stack.close()
            raise
        last = self._children[-1].stdout
        assert last is not None
        self.stdout = last
        return self

    @property
    def stdin(self) -> IO[bytes]:
        stream = self._children[0].stdin
        assert stream is not None
        return stream

    def failed(self) -> Stage | None:
        """The first stage that already ended with a non-zero code, if any."""
        for stage, child in zip(self.stages, self._children, strict=True):
            if child.poll() not in (None, 0):
                return stage
        return None

    def ended(self) -> bool:
        """True when no stage runs any more, however it ended."""
        return all(child.poll() is not None for child in self._children)

    def kill(self) -> None:
        """SIGKILL every stage at once, without the grace that leaving the block gives."""
        for child in self._children:
            _signal_group(child.pid, signal.SIGKILL)

    def wait(self, deadline: float) -> None:
        """Wait for all stages; raise naming the one to blame when any failed or time ran out."""
        until = time.monotonic() + deadline
        while any(child.poll() is None for child in self._children):
            if self.failed() is not None:
                time.sleep(0.2)  # let siblings end by themselves, so that the root cause shows
                break
            if time.monotonic() > until:
                names = [s.what for s, c in zip(self.stages, self._children, strict=True) if c.poll() is None]
                raise DeadlineError(f"{', '.join(names)} did not end within {deadline:g} s")
            time.sleep(0.01)
        for thread in self._threads:
            thread.join(1.0)
        codes = [child.poll() for child in self._children]
        if any(code != 0 for code in codes):
            raise self._blame(codes)

    def _blame(self, codes: list[int | None]) -> OpsError:
        # A stage killed by SIGPIPE is a victim of a later one; a stage that still runs is a victim too.
        broken = (-signal.SIGPIPE, 128 + signal.SIGPIPE)
        order = [i for i, c in enumerate(codes) if c not in (None, 0, *broken)]
        guilty = order[0] if order else next(i for i, c in enumerate(codes) if c != 0)
        tail = [redact(line) for line in self._tails[guilty]][-25:]
        cause = telling(tail)
        text = f"{self.stages[guilty].what} failed (exit {codes[guilty]})"
        return OpsError(text + (f": {cause}" if cause else ""), details=tail)

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _collect(stream: IO[bytes], tail: list[str]) -> None:
    with contextlib.suppress(ValueError, OSError):
        for raw in iter(stream.readline, b""):
            tail.append(raw.decode(errors="replace").rstrip())
            del tail[:-_TAIL]


# --- what a killed run left behind --------------------------------------------------------------------------


def leftovers(run_id: str, proc: Path = Path("/proc")) -> list[int]:
    """Pids of living processes (other than ours) that carry this run's tag. Empty where there is no /proc."""
    needle = f"{RUN_VARIABLE}={run_id}".encode()
    found = []
    for entry in proc.glob("[0-9]*"):
        try:
            if needle in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def process_start(pid: int) -> str | None:
    """An identity for a pid that survives pid reuse (its start time), or None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self").exists():
        return None
    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
