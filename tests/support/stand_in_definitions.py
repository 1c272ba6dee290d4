"""A code location with stand-in steps, for processes that load one by its module name.

`CORTEX_OPS_PROJECT` is the project; `STAND_IN_CRON` makes every schedule fire by it; `STAND_IN_SIGNAL` sends
SIGTERM to this process when Dagster records that text, which no step can do between two steps, and
`STAND_IN_DISK_FULL` makes Dagster's own storage fail from that moment on.
"""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage

from cortex_ops.definitions import build_definitions
from cortex_ops.defs.console import RunFile
from cortex_ops.kernel.settings import load_settings
from tests.support.stand_in_steps import StandInSteps

_signal_at = os.environ.get("STAND_IN_SIGNAL", "")
_full_at = os.environ.get("STAND_IN_DISK_FULL", "")
_record = RunFile.emit


def _no_space(self: SqliteEventLogStorage, event: Any) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def _emit(self: RunFile, record: logging.LogRecord) -> None:
    _record(self, record)
    if _signal_at and _signal_at in record.getMessage():
        os.kill(os.getpid(), signal.SIGTERM)
    if _full_at and _full_at in record.getMessage():
        SqliteEventLogStorage.store_event = _no_space  # type: ignore[method-assign]


RunFile.emit = _emit  # type: ignore[method-assign]
_cron = os.environ.get("STAND_IN_CRON", "")
_settings = load_settings()
defs = build_definitions(
    settings=_settings,
    steps=StandInSteps(Path(_settings.project) / "steps"),
    crons=dict.fromkeys(("backup", "health"), _cron) if _cron else None,
)
