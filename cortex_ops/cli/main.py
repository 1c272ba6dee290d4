"""`cortex-ops`: parses, runs one command, and turns every failure into lines a person can act on."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import select
import sys
import traceback

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.interrupts import end_on_sigterm
from cortex_ops.kernel.redact import redact

GROUPS = ("stack", "images", "secrets", "releases", "care", "backups", "demo")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="cortex-ops",
        description="Validates, renders, inspects and repairs; releases are Dagster's (`dagster job execute`).",
    )
    commands = top.add_subparsers(dest="command", metavar="command", required=True)
    for group in GROUPS:
        importlib.import_module(f"cortex_ops.cli.{group}").register(commands)
    return top


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed, 2 bad input, 3 refused, 4 too late, 130 told to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a console of few characters is no reason to fail
    args = parser().parse_args(argv)
    end_on_sigterm()
    try:
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except OpsError as error:
        for line in error.lines():
            print(redact(line), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("told to end", file=sys.stderr)
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered goes nowhere
            return 0
        if error.filename is None:
            return _defect(error)
        print(redact(f"{error.filename} cannot be used: {error.strerror}"), file=sys.stderr)
        return 1
    except Exception as error:
        return _defect(error)


def _reader_left() -> bool:
    """Whether it is our own output that nobody reads any more, and not a pipe to an engine or a program."""
    output = select.poll()
    output.register(1, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in output.poll(0))


def _defect(error: Exception) -> int:
    """A defect of ours: one line on the console, the trace in a file."""
    from cortex_ops.kernel.settings import load_settings

    trace = redact(traceback.format_exc())
    print(redact(f"unexpected {type(error).__name__}: {error}"), file=sys.stderr)
    path = load_settings().state / "logs" / "cortex-ops-error.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(trace)
        print(f"  → please report it with {path}", file=sys.stderr)
    except OSError:
        print(trace, file=sys.stderr)  # better than nothing where no file can be written
    return 1


if __name__ == "__main__":
    sys.exit(main())
