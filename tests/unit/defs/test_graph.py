"""The graph as a newcomer sees it, written out by hand."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg

from tests.support.engine import ROOT
from tests.unit.defs.conftest import Place

GRAPH = {
    "source": ("source", set(), False),
    "images/api": ("images", {"source"}, False),
    "images/task_worker": ("images", {"source"}, False),
    "images/integration_tests": ("images", {"source"}, False),
    "images/edge": ("images", {"source"}, False),
    "images/postgres": ("images", {"source"}, False),
    "manifests/compose": (
        "manifests",
        {"images/api", "images/task_worker", "images/integration_tests", "images/edge", "images/postgres"},
        True,
    ),
    "rollout/api": ("release", {"manifests/compose"}, True),
    "rollout/task_worker": ("release", {"manifests/compose"}, True),
    "integration_tests": ("release", {"rollout/api", "rollout/task_worker"}, True),
    "release": ("release", {"integration_tests"}, True),
    "drift": ("release", {"release"}, True),
    "backups/postgres": ("backups", {"release"}, True),
    "backups/set": ("backups", {"backups/postgres"}, True),
    "restore_drill": ("backups", {"backups/set"}, True),
}
CHECKS = {  # asset:check → (blocks, partitioned)
    "images/api:policy": (True, False),
    "images/api:own_tests": (True, False),
    "images/task_worker:policy": (True, False),
    "images/integration_tests:policy": (True, False),
    "images/edge:policy": (True, False),
    "manifests/compose:policy": (True, True),
    "manifests/compose:preflight": (True, True),
    "integration_tests:verdict": (False, True),
    "release:live_and_tested": (False, True),
    "restore_drill:proven": (False, True),
}


def test_the_graph_is_the_one_of_the_design(place: Place) -> None:
    graph = {
        spec.key.to_user_string(): (
            spec.group_name,
            {dep.asset_key.to_user_string() for dep in spec.deps},
            spec.partitions_def is not None,
        )
        for spec in place.definitions.resolve_all_asset_specs()
    }
    assert graph == GRAPH


def test_every_gate_is_a_check_and_those_of_an_environment_are_partitioned_by_it(place: Place) -> None:
    layer = place.definitions.resolve_asset_graph()
    found = {}
    for key in layer.asset_check_keys:
        node = layer.get(key)
        name = f"{key.asset_key.to_user_string()}:{key.name}"
        found[name] = (node.blocking, node.partitions_def is not None)
    assert found == CHECKS


def test_every_asset_and_every_job_says_what_it_is(place: Place) -> None:
    for spec in place.definitions.resolve_all_asset_specs():
        assert spec.description and spec.description.endswith("."), spec.key
    for job in place.definitions.get_repository_def().get_all_jobs():
        assert job.description or job.name.startswith("__"), job.name


def test_environments_are_the_partitions_but_for_those_of_development(place: Place) -> None:
    for spec in place.definitions.resolve_all_asset_specs():
        if spec.partitions_def is not None:
            assert spec.partitions_def.get_partition_keys() == ["local", "staging"]


def test_the_jobs_are_there_and_offer_their_environment(place: Place) -> None:
    jobs = {j.name: j for j in place.definitions.get_repository_def().get_all_jobs() if not j.name.startswith("__")}
    assert set(jobs) == {"build", "release", "rollback", "health", "backup", "restore_drill", "upkeep"}
    assert {name for name, job in jobs.items() if job.partitions_def is None} == {"build"}


def test_runs_that_change_an_environment_carry_the_tag_by_which_the_queue_takes_turns(place: Place) -> None:
    repository = place.definitions.get_repository_def()
    changing = set()
    for job in repository.get_all_jobs():
        if job.partitions_def is not None and not job.name.startswith("__"):
            tags = job.get_tags_for_partition_key("staging", selected_asset_keys=None)
            if tags.get("cortex/changes") == "staging":
                changing.add(job.name)
    assert changing == {"release", "rollback", "upkeep"}


def test_automation_runs_by_default(place: Place) -> None:
    repository = place.definitions.get_repository_def()
    schedules = {s.name: (s.cron_schedule, s.default_status) for s in repository.schedule_defs}
    running = dg.DefaultScheduleStatus.RUNNING
    assert schedules == {
        "backup_schedule": ("0 3 * * *", running),
        "restore_drill_schedule": ("0 5 * * 0", running),
        "health_schedule": ("*/10 * * * *", running),
        "upkeep_schedule": ("30 4 * * *", running),
    }
    assert {s.name for s in repository.sensor_defs} == {"failed_runs", "dead_runs", "releases_elsewhere"}
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}


def test_the_definitions_of_this_checkout_load_in_a_fresh_interpreter_without_an_sdk() -> None:
    code = (
        "import sys, cortex_ops.definitions as d; d.defs.get_repository_def().get_all_jobs();"
        "print([m for m in ('docker', 'kubernetes', 'boto3', 'cryptography') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]", "what is slow to import is imported when it is used"
