"""One registry for the images of all tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster import images


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port/name` of a registry that this machine's engine and the nodes reach."""
    with images(tmp_path_factory.mktemp("cluster-registry")) as found:
        yield found
