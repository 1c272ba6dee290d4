"""Manifests where a stack has environments of both targets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import stand_in_project
from tests.unit.defs.conftest import Place

CLUSTER = {"target": "kubernetes", "secrets_folder": "../secrets", "kubernetes": {"host_address": "192.0.2.7"}}
ALL = {"manifests/compose", "manifests/kubernetes", "manifests/monitoring"}


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    environments = {**stand_in_project.STACK["environments"], "cluster": CLUSTER}
    monkeypatch.setitem(stand_in_project.STACK, "environments", environments)
    monkeypatch.setenv("CORTEX_OPS_PROJECT", str(tmp_path / "both"))
    return Place(tmp_path / "both")


def test_every_rollout_comes_after_all_kinds_of_manifests(both: Place) -> None:
    specs = {spec.key.to_user_string(): spec for spec in both.definitions.resolve_all_asset_specs()}
    assert {name for name in specs if name.startswith("manifests/")} == ALL
    assert {dep.asset_key.to_user_string() for dep in specs["rollout/api"].deps} == ALL


@pytest.mark.parametrize(
    ("env", "rendered"), [("local", {"manifests/compose"}), ("cluster", ALL - {"manifests/compose"})]
)
def test_a_release_renders_what_its_environment_runs_and_says_where_it_renders_nothing(
    both: Place, env: str, rendered: set[str]
) -> None:
    result = both.run("release", env)
    made = both.materialised(result)
    assert result.success
    assert {name for name in ALL if made[name]["files"] > 0} == rendered
    for name in ALL - rendered:
        assert made[name]["noop"] is True and "this environment runs what is in" in made[name]["rendered"]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("policy", "api runs as root"),
        ("equivalence", "api: environment is A=1, expected A=2"),
        ("preflight", "no rights"),
    ],
)
def test_each_gate_of_a_cluster_blocks_before_the_first_change(both: Place, check: str, said: str) -> None:
    both.steps.script(findings={check: [said]})
    result = both.run("release", "cluster")
    assert not result.success and both.cause(result) == f"{check} of cluster: {said}"
    assert both.checks(result)[f"manifests/kubernetes:{check}"] is False
    assert "rollout cluster" not in both.steps.calls()
