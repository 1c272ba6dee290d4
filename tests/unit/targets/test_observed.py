"""What the engine's report of a container means."""

from __future__ import annotations

from typing import Any

import pytest

from cortex_ops.targets.compose.observed import Seen, seen_from
from cortex_ops.targets.compose.start import doomed, given_up


def report(status: str, health: dict[str, Any] | None = None, **state: Any) -> Seen:
    """The parts of an engine's inspection that matter here."""
    running = status in ("running", "paused", "restarting")  # the engine says `Running` while it restarts, too
    return seen_from(
        {
            "Id": "a" * 64,
            "Name": "/shop-r1-api-1",
            "Image": "sha256:" + "b" * 64,
            "RestartCount": state.pop("restarts", 0),
            "State": {
                "Status": status,
                "Running": running,
                "Restarting": status == "restarting",
                **({"Health": health} if health else {}),
                **state,
            },
            "Config": {
                "Labels": {"com.docker.compose.service": "api-r1"},
                "Healthcheck": {"Test": ["CMD", "probe"], "Retries": 2},
            },
            "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}},
            "Mounts": [],
        }
    )


STOPPED_MONITOR = {"Status": "unhealthy", "FailingStreak": 0, "Log": []}
FAILED_TWICE = {"Status": "unhealthy", "FailingStreak": 2, "Log": [{"ExitCode": 1, "Output": "refused"}]}


@pytest.mark.parametrize("status", ["restarting", "exited", "running"])
def test_unhealthy_is_no_reason_when_only_the_health_monitor_has_stopped(status: str) -> None:
    assert doomed(report(status, STOPPED_MONITOR, restarts=1), budget=2) is None


def test_a_running_container_whose_checks_failed_is_unhealthy_and_says_why() -> None:
    assert doomed(report("running", FAILED_TWICE), budget=2) == "api-r1 is unhealthy: refused"


def test_a_container_between_two_starts_is_neither_ready_nor_healthy() -> None:
    assert not report("restarting", {"Status": "healthy", "FailingStreak": 0}).ready()


def test_a_container_that_crashes_too_often_is_reported_with_its_exit_code() -> None:
    seen = report("restarting", FAILED_TWICE, restarts=3, ExitCode=7)
    assert doomed(seen, budget=2) == "api-r1 keeps crashing (exit 7, 3 restarts)"


def test_a_container_that_compose_gives_up_between_two_crashes_is_said_to_crash() -> None:
    said = "dependency failed to start: container shop-r1-api-1 is unhealthy"
    crashed = report("restarting", STOPPED_MONITOR, restarts=1)
    assert given_up(said, [crashed]) == ("api-r1 keeps crashing (1 restarts)", crashed)
    assert given_up("dependency failed to start: container shop-r1-web-1 is unhealthy", [crashed]) is None


def test_a_container_without_a_health_check_is_ready_as_soon_as_it_runs() -> None:
    assert report("running").ready()
