"""Being told to end, and never missing it.

Python runs a signal's handler between any two bytecodes, so also in a destructor or in the callback of a weak
reference, of which every import has one. What the handler raises there is printed with its trace and dropped, and the
run goes on as if nobody had told it to end.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from cortex_ops.kernel.errors import InterruptedByUser

AGAIN_S = 0.05


def end_on_sigterm() -> None:
    """SIGTERM raises `InterruptedByUser` in the main thread, wherever it is."""
    signal.signal(signal.SIGTERM, _terminated)
    never_miss(InterruptedByUser)


def never_miss(*kinds: type[BaseException]) -> None:
    """An exception of these kinds, or Ctrl-C's, that Python had to drop is not printed: its signal is sent again."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if not isinstance(dropped.exc_value, (KeyboardInterrupt, *kinds)):
            before(dropped)
            return
        number = signal.SIGINT if isinstance(dropped.exc_value, KeyboardInterrupt) else signal.SIGTERM
        again = threading.Timer(AGAIN_S, os.kill, (os.getpid(), number))  # not at once: this is still the callback
        again.daemon = True
        again.start()

    sys.unraisablehook = hook


def _terminated(_number: int, _frame: object) -> None:
    raise InterruptedByUser("told to end by SIGTERM")
