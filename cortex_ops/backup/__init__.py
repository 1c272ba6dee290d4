"""Backups that exist only when whole, signed and provable: taking them, judging them, proving them by restore.

Where the bytes are kept is the store's business; when it happens is the schedule's.
"""

from __future__ import annotations

from cortex_ops.backup.context import BackupContext, BackupResult, DrillResult, SourceResult
from cortex_ops.backup.pipeline import run_backup

__all__ = ["BackupContext", "BackupResult", "DrillResult", "SourceResult", "run_backup"]
