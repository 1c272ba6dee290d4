"""What every test shares."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling


@pytest.fixture(scope="module", autouse=True)
def images_of_this_file_go_with_it() -> Iterator[None]:
    """Also those of projects that only build."""
    yield
    if tiny := sys.modules.get("tests.support.tiny"):
        tiny.remove_images_of(*tiny.CREATED)
        tiny.CREATED.clear()


# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# A file's tests run in one process, in order: they share what they made. In these each target, or each function, has
# its own, and waits more than it works.
BY_PARAMETER = ("tests/conformance/targets/test_target_conformance.py",)
BY_FUNCTION = ("tests/faults/test_killed_runs.py",)


class Shares(LoadScopeScheduling):
    """What one worker takes at a time."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, test = nodeid.partition("::")
        function, _, parameters = test.partition("[")
        if path in BY_PARAMETER:
            return f"{path} {parameters}"
        return f"{path} {function}" if path in BY_FUNCTION else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return Shares(config, log)
