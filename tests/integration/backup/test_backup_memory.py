"""A backup's memory does not grow with the database: everything streams."""

from __future__ import annotations

from pathlib import Path

from bench.databases import ROW_BYTES, ROWS
from tests.support.backup_memory import measure
from tests.support.postgres import sample_postgres

LIMIT = 64.0  # MB above an idle process, client programs included


def test_a_backup_and_a_drill_stay_within_their_memory(tmp_path: Path) -> None:
    sql = ROWS.format(count=150 * 1024 * 1024 // ROW_BYTES)
    with sample_postgres(tmp_path, sql=sql, memory="1g") as place:
        for task in ("backup", "drill"):
            memory = measure(place, tmp_path, task)
            assert memory.above < LIMIT, f"{task}: {memory.held}"
            counted = " ".join(memory.held)
            assert "docker" in counted and ("pg_dump" in counted or "psql" in counted), "its programs were counted"
