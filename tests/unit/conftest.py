"""What every unit test shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cortex_ops.kernel import redact


@pytest.fixture(autouse=True)
def what_is_secret_in_one_test_is_ordinary_in_the_next(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Values are remembered for the life of a process, and tests use words such as `xxxxxxx`."""
    monkeypatch.setattr(redact, "_values", set(redact._values))
    monkeypatch.setattr(redact, "_pattern", redact._pattern)
    yield
