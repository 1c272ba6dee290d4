"""Schedules ask for what is due; sensors tell the page what it could not know."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import dagster as dg

from cortex_ops.release.history import History
from cortex_ops.release.records import Record
from cortex_ops.wiring import wire
from tests.support.stand_in_steps import record
from tests.unit.defs.conftest import Place


def put(place: Place, one: Record) -> None:
    """Into the history, as another machine would."""
    history = History(wire(place.settings).store, one.intent.environment)
    history.store.put_if_absent(f"releases/{one.intent.environment}/{one.seq:06d}/intent.json", one.intent.to_json())
    if one.outcome is not None:
        history.finish(one.seq, one.outcome)


def tick(place: Place, job: str) -> dg.ScheduleExecutionData:
    schedule = place.definitions.resolve_schedule_def(f"{job}_schedule")
    context = dg.build_schedule_context(
        instance=place.instance, scheduled_execution_time=datetime(2026, 1, 2, 3, tzinfo=UTC)
    )
    return schedule.evaluate_tick(context)


def test_a_schedule_asks_for_each_environment_that_has_a_live_release(place: Place) -> None:
    put(place, record("staging"))
    data = tick(place, "backup")
    assert [(r.run_key, r.tags["dagster/partition"]) for r in data.run_requests or []] == [
        ("staging-20260102T0300", "staging")
    ]
    assert "cortex/changes" not in (data.run_requests or [])[0].tags
    assert (tick(place, "upkeep").run_requests or [])[0].tags["cortex/changes"] == "staging"


def test_a_schedule_of_nothing_live_says_why_it_asks_for_nothing(place: Place) -> None:
    put(place, record("local", state="rolled_back"))
    data = tick(place, "health")
    assert not data.run_requests and data.skip_message == "no environment has a live release yet"


def look(place: Place, cursor: str | None = None) -> dg.SensorResult:
    sensor = place.definitions.resolve_sensor_def("releases_elsewhere")
    result = sensor(dg.build_sensor_context(instance=place.instance, cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    return result


def told(result: dg.SensorResult) -> list[tuple[str | None, object]]:
    return [(e.partition, e.metadata["release"].value) for e in result.asset_events or []]  # type: ignore[union-attr]


def test_a_release_made_elsewhere_is_told_once(place: Place) -> None:
    put(place, record("local", 1))
    put(place, record("local", 2, state="rolled_back"))
    put(place, record("staging", 1))
    first = look(place)
    assert told(first) == [("local", "r1"), ("staging", "r1")]
    assert json.loads(first.cursor or "") == {"local": 2, "staging": 1}
    assert told(look(place, first.cursor)) == []
    put(place, record("local", 3))
    assert told(look(place, first.cursor)) == [("local", "r3")]


def test_one_that_this_page_made_itself_is_not_told_again(place: Place) -> None:
    run = place.run("release")
    put(place, record("local", 7, run=run.run_id))
    assert told(look(place)) == []


def test_one_whose_run_was_killed_here_after_the_switch_is_told(place: Place) -> None:
    run = place.instance.create_run_for_job(
        place.definitions.resolve_job_def("release"), status=dg.DagsterRunStatus.FAILURE
    )
    put(place, record("local", 7, run=run.run_id))
    assert told(look(place)) == [("local", "r7")]


def test_it_waits_for_what_is_not_finished(place: Place) -> None:
    put(place, record("local", 1))
    put(place, record("local", 2, state=""))
    result = look(place)
    assert told(result) == [("local", "r1")] and json.loads(result.cursor or "")["local"] == 1
    running = place.instance.create_run_for_job(
        place.definitions.resolve_job_def("release"), status=dg.DagsterRunStatus.STARTED
    )
    put(place, record("staging", 1, run=running.run_id))
    assert json.loads(look(place).cursor or "")["staging"] == 0, "it may still show its release itself"


def test_a_new_page_is_told_the_last_few_only(place: Place) -> None:
    for seq in range(1, 21):
        put(place, record("local", seq))
    assert told(look(place)) == [("local", f"r{seq}") for seq in range(16, 21)]


def test_a_failed_run_leaves_a_line_with_its_cause(place: Place) -> None:
    place.steps.script(fail={"backup": "the store is full"})
    result = place.run("backup")
    failed = next(e for e in result.all_events if e.event_type == dg.DagsterEventType.RUN_FAILURE)
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_instance=place.instance,
        dagster_run=result.dagster_run,
        dagster_event=failed,
    ).for_run_failure()
    place.definitions.resolve_sensor_def("failed_runs")(context)
    alert = json.loads((place.root / ".cortex" / "alerts.jsonl").read_text())
    assert (alert["job"], alert["environment"], alert["cause"]) == ("backup", "local", "the store is full")
    assert alert["run"] == result.run_id
