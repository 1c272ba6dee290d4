"""What a run does with what the pipeline says: gates, verdicts, failures, no-ops."""

from __future__ import annotations

import pytest

from tests.unit.defs.conftest import Place

EVERYTHING = {
    "source", "images/api", "images/task_worker", "images/integration_tests", "images/edge", "images/postgres",
    "manifests/compose", "rollout/api", "rollout/task_worker", "integration_tests", "release",
}  # fmt: skip


@pytest.mark.parametrize("noop", [False, True])
def test_everything_is_yielded_in_every_release_also_when_there_is_nothing_to_do(place: Place, noop: bool) -> None:
    place.steps.script(noop=noop)
    result = place.run("release")
    made = place.materialised(result)
    assert result.success and set(made) == EVERYTHING
    for asset in EVERYTHING - {"source"}:
        assert made[asset]["noop"] is noop, asset
    assert all(place.checks(result).values())
    assert place.steps.calls() == [
        "source", "build local", "render local", "preflight local", "rollout local", "integration_tests local",
        "release local",
    ]  # fmt: skip


def test_metadata_are_numbers_that_plot_tables_and_links(place: Place) -> None:
    made = place.materialised(place.run("release"))
    image = made["images/api"]
    assert image["size (bytes)"] == 123_456_789 and str(image["digest"]).startswith("sha256:")
    assert isinstance(made["rollout/api"]["seconds: apply"], float)
    assert "| ✓ | the api answers | 0.50 |" in made["integration_tests"]["tests"]
    assert "```diff" in made["manifests/compose"]["difference from live"]
    assert made["release"]["open api"] == "http://127.0.0.1:8080"


def test_tests_of_an_images_own_that_fail_are_a_failed_check_of_that_image(place: Place) -> None:
    place.steps.script(own_tests="api")
    result = place.run("release")
    assert not result.success
    assert place.checks(result) == {"images/api:own_tests": False}
    assert "the tests of image api failed" in place.cause(result)
    assert place.steps.calls() == ["source", "build local"]


@pytest.mark.parametrize(("env", "said"), [("lcoal", "no environment 'lcoal'"), (None, "needs an environment")])
def test_a_wrong_environment_ends_the_run_before_anything_is_done(place: Place, env: str | None, said: str) -> None:
    result = place.run("release", env)
    assert not result.success
    assert said in place.cause(result) and "local, staging" in place.cause(result)
    assert place.steps.calls() == []


def test_build_needs_no_environment_and_touches_none(place: Place) -> None:
    result = place.run("build", None)
    assert result.success
    assert place.steps.calls() == ["source", "build"]


def test_the_release_that_is_promoted_is_chosen_by_a_tag(place: Place) -> None:
    place.run("release", cortex_from="staging@3")
    assert "build local staging@3" in place.steps.calls()


@pytest.mark.parametrize(
    ("script", "check", "cause"),
    [
        ({"policy": {"api": ["it runs as root"]}}, "images/api:policy", "image policy: api: it runs as root"),
        ({"findings": {"policy": ["no limits"]}}, "manifests/compose:policy", "policy of local: no limits"),
        (
            {"findings": {"preflight": ["image gone"]}},
            "manifests/compose:preflight",
            "preflight of local: image gone",
        ),
    ],
)
def test_a_gate_that_is_not_passed_blocks_before_the_first_change(
    place: Place, script: dict[str, object], check: str, cause: str
) -> None:
    place.steps.script(**script)
    result = place.run("release")
    assert not result.success and place.cause(result).startswith(cause)
    assert place.checks(result)[check] is False
    assert "rollout local" not in place.steps.calls()


def test_a_rejected_release_is_decided_by_the_release_step_and_not_materialised(place: Place) -> None:
    place.steps.script(verdict="the api answers: got bad")
    result = place.run("release")
    assert not result.success and "was rolled back: the api answers: got bad" in place.cause(result)
    assert place.steps.calls()[-3:] == ["integration_tests local", "release local", "interrupt local"]
    checks = place.checks(result)
    assert checks["integration_tests:verdict"] is False and checks["release:live_and_tested"] is False
    made = place.materialised(result)
    assert "release" not in made and made["integration_tests"]["passed"] is False


def test_a_failure_is_a_sentence_with_its_details_and_remedy(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.steps.script(fail={"rollout": "the engine is stopped"})
    result = place.run("release")
    assert place.cause(result) == "the engine is stopped\n  a detail\n  → a remedy"
    said = [line for line in capfd.readouterr().err.splitlines() if "DEBUG" not in line]
    at = said.index("✗ release failed: the engine is stopped")
    assert said[at - 1] == "  a detail" and said[at + 1] == "  → a remedy"
    assert "everything that was logged" in said[at + 2]


def test_a_defect_of_ours_is_one_sentence_and_its_trace_goes_to_the_runs_file(place: Place) -> None:
    place.steps.script(defect={"integration_tests": "no such thing"})
    result = place.run("release")
    assert place.cause(result).startswith("unexpected KeyError in integration_tests: 'no such thing'")
    log = place.root / ".cortex" / "logs" / f"{result.run_id}.log"
    assert "Traceback" in log.read_text()
    assert place.steps.calls()[-1] == "interrupt local", "the candidate must not be left behind"


def test_a_drill_that_proves_nothing_fails_its_check_and_is_not_materialised(place: Place) -> None:
    place.steps.script(fail={"drill": "row counts differ"})
    result = place.run("restore_drill")
    assert not result.success and place.checks(result) == {"restore_drill:proven": False}
    assert place.materialised(result) == {}


def test_backup_and_drill_show_what_is_worth_looking_at(place: Place) -> None:
    made = place.materialised(place.run("backup"))
    assert made["backups/set"]["stored (bytes)"] == 300 and made["backups/postgres"]["rows"] == 30
    drill = place.materialised(place.run("restore_drill", cortex_set="one"))["restore_drill"]
    assert drill["measured recovery time (s)"] == 2.5 and drill["set"] == "one"


def test_a_rollback_shows_on_the_page_what_is_live_again(place: Place) -> None:
    result = place.run("rollback", cortex_to="5")
    assert result.success and place.steps.calls() == ["rollback local 5"]
    event = place.instance.get_latest_materialization_event(place.release)
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.partition == "local"
    assert event.asset_materialization.metadata["release"].value == "r7"


def test_a_rollback_to_no_number_is_refused_before_it_begins(place: Place) -> None:
    result = place.run("rollback", cortex_to="the-last-one")
    assert "expected the number of a release" in place.cause(result)
    assert not any(call.startswith("rollback") for call in place.steps.calls())


def test_ill_health_fails_the_run_with_what_to_do(place: Place) -> None:
    place.steps.script(sick="it does not answer")
    result = place.run("health")
    assert place.cause(result) == "local is not healthy: api: it does not answer\n  → look"


def test_health_observes_how_the_live_objects_differ_as_a_number_that_plots(place: Place) -> None:
    place.steps.script(drift=["shop-api-1: memory: expected 2, found 1"])
    result = place.run("health")
    assert result.success
    (seen,) = [event.asset_observation_data.asset_observation for event in result.get_asset_observation_events()]
    assert (seen.asset_key.to_user_string(), seen.partition) == ("drift", "local")
    assert seen.metadata["differences"].value == 1
    assert "memory: expected 2, found 1" in str(seen.metadata["what differs"].value)


def test_problems_of_upkeep_are_reported(place: Place) -> None:
    place.steps.script(problems=["volume x is in use"])
    assert place.cause(place.run("upkeep")) == "volume x is in use"
