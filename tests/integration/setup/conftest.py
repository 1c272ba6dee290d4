"""Where set-up found its engine, it may not start one: what needs engines of its own runs on bare machines only."""

from __future__ import annotations

from tests.support.engine import record

collect_ignore = [] if record()["kind"] == "bare" else ["test_engine.py", "test_base_images.py"]
