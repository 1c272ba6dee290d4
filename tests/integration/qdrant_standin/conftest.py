"""Fixtures: stand-ins that end with the test, or the module, that started them."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from standin_process import Client, Standin


@pytest.fixture
def standin() -> Iterator[Callable[..., Standin]]:
    """Makes stand-ins of one test; each ends with it."""
    made: list[Standin] = []
    with tempfile.TemporaryDirectory() as folder:

        def make(storage: Path | None = None, **environment: str) -> Standin:
            one = Standin(storage or Path(folder) / "storage", environment)
            made.append(one)
            return one

        try:
            yield make
        finally:
            for one in made:
                if one.process is not None:
                    one.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """One running stand-in for a module; its tests use collections of their own."""
    with tempfile.TemporaryDirectory() as folder:
        one = Standin(Path(folder) / "storage")
        try:
            yield one.start()
        finally:
            if one.process is not None:
                one.end(signal.SIGKILL)
