"""What is said beside a failure."""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.redact import REDACTED, Secret
from cortex_ops.targets.kubernetes.events import LogSource, explain, log_sources
from tests.support.cluster_pods import RUNNING, Document, ended, pod, waiting


def old_style(reason: str, message: str, at: str, count: int = 1, kind: str = "Warning", uid: str = "") -> Document:
    """As `v1` has it."""
    return {
        "apiVersion": "v1",
        "metadata": {"uid": uid or f"{reason}{message}{at}"},
        "involvedObject": {"kind": "Pod", "name": "api-x"},
        "type": kind,
        "reason": reason,
        "message": message,
        "count": count,
        "lastTimestamp": at,
        "eventTime": None,
    }


def new_style(reason: str, note: str, at: str, uid: str, **series: Any) -> Document:
    """As `events.k8s.io/v1` has it."""
    return {
        "apiVersion": "events.k8s.io/v1",
        "metadata": {"uid": uid},
        "regarding": {"kind": "Pod", "name": "api-x"},
        "type": "Warning",
        "reason": reason,
        "note": note,
        "eventTime": at,
        "deprecatedLastTimestamp": None,
        **({"series": series} if series else {}),
    }


def test_events_are_lines_with_the_newest_last() -> None:
    lines = explain(
        [
            old_style("Unhealthy", "probe failed:\n  refused", "2026-01-01T00:00:09Z", count=4),
            new_style("FailedScheduling", "0/1 nodes", "2026-01-01T00:00:01.000000Z", "u1"),
            old_style("Pulled", "Container image already present", "2026-01-01T00:00:05Z", kind="Normal"),
            old_style("Killing", "Stopping container api", "2026-01-01T00:00:07Z", kind="Normal"),
        ]
    )
    assert lines == [
        "Pod api-x: FailedScheduling: 0/1 nodes",
        "Pod api-x: Killing: Stopping container api",
        "Pod api-x: Unhealthy: probe failed: refused (4 times)",
    ]


def test_an_event_that_both_apis_show_is_one_and_the_same_words_are_one_line() -> None:
    twice = [
        old_style("BackOff", "Back-off", "2026-01-01T00:00:01Z", count=3, uid="u1"),
        new_style("BackOff", "Back-off", "2026-01-01T00:00:01.5Z", "u1"),
        new_style("BackOff", "Back-off", "", "u2", count=2, lastObservedTime="2026-01-01T00:00:09.5Z"),
        old_style("Failed", "Error", "2026-01-01T00:00:05Z"),
    ]
    assert explain(twice) == ["Pod api-x: Failed: Error", "Pod api-x: BackOff: Back-off (5 times)"]


def test_only_the_last_events_are_told() -> None:
    many = [old_style("Failed", f"try {n}", f"2026-01-01T00:00:{n:02}Z") for n in range(30)]
    assert explain(many, limit=2) == ["Pod api-x: Failed: try 28", "Pod api-x: Failed: try 29"]


def test_a_long_event_keeps_its_end_where_the_cause_is() -> None:
    line = explain([old_style("Failed", "start " + "x" * 900 + " the cause", "2026-01-01T00:00:01Z")])[0]
    assert len(line) < 350
    assert line.endswith(" the cause")


def test_logs_come_after_the_events_and_secrets_are_in_neither() -> None:
    secret = Secret("hunter2-hunter2", "password").text()
    event = old_style("Failed", "x" * 290 + secret, "2026-01-01T00:00:01Z")
    logs = {"api-x/api": [*(f"line {n}" for n in range(40)), f"password {secret}", ""], "api-x/init": []}
    lines = explain([event], logs)
    assert REDACTED in lines[0]
    assert lines[1] == "api-x/api: line 16"
    assert lines[-2:] == [f"api-x/api: password {REDACTED}", "api-x/init: (it wrote nothing)"]
    assert "hunter2" not in "".join(lines)


def test_the_log_of_what_crashed_is_read_first_and_that_of_before_its_restart_too() -> None:
    crashed = pod({**RUNNING, "lastState": ended(1), "restartCount": 1}, name="b")
    slow = pod({"state": {"running": {}}}, name="a")
    sources = log_sources([slow, crashed, pod(RUNNING, name="c"), pod(waiting("ErrImagePull"), name="d")])
    assert sources == [
        LogSource(namespace="shop", pod="b", container="api", previous=True),
        LogSource(namespace="shop", pod="b", container="api"),
        LogSource(namespace="shop", pod="a", container="api"),
    ]
    assert [one.label() for one in sources[:2]] == ["b/api (before its restart)", "b/api"]


def test_a_container_that_has_just_ended_may_be_another_when_its_log_is_read() -> None:
    first = pod({"state": ended(9)}, name="a")
    assert [(one.previous, one.may) for one in log_sources([first])] == [(False, False), (True, True)]
    assert [one.previous for one in log_sources([pod({"state": ended(9)}, restart="Never")])] == [False]


def test_a_container_that_waits_for_its_next_start_has_only_a_log_of_before() -> None:
    waits = pod(waiting("CrashLoopBackOff", lastState=ended(1), restartCount=1), init=({"state": ended(0)},))
    assert [(one.container, one.previous) for one in log_sources([waits])] == [("api", True)]


def test_when_nothing_is_wrong_the_logs_of_all_that_run_are_read() -> None:
    assert [one.pod for one in log_sources([pod(RUNNING, name="a"), pod(RUNNING, name="b")])] == ["a", "b"]
