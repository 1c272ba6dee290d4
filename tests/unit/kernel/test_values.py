"""Names, times and files behave as every other part relies on."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortex_ops.kernel.clock import Deadline, ManualClock, iso, parse_iso
from cortex_ops.kernel.errors import DeadlineError, InputError, OpsError
from cortex_ops.kernel.files import write_atomic
from cortex_ops.kernel.names import asset_name, is_label, label
from cortex_ops.kernel.settings import load_settings
from cortex_ops.kernel.values import ImageRef

labels = st.from_regex(r"\A[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,8}\Z")


@given(labels, labels)
def test_asset_names_of_different_labels_never_collide(one: str, two: str) -> None:
    assert (asset_name(one) == asset_name(two)) == (one == two)


@given(st.lists(labels, min_size=1, max_size=9))
def test_a_joined_name_is_always_valid_and_short_enough(parts: list[str]) -> None:
    assert is_label(label(*parts)) and len(label(*parts)) <= 63


@pytest.mark.parametrize("name", ["my_api", "ICM", "18083", "", "-a", "a-", "a--b", "a" * 64])
def test_names_that_kubernetes_would_refuse_are_refused(name: str) -> None:
    assert not is_label(name)
    if len(name) < 60:
        with pytest.raises(InputError):
            label(name)


def test_times_are_utc_and_survive_the_round_trip() -> None:
    local = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert iso(local) == "2025-12-31T23:30:00.000Z"
    assert parse_iso(iso(local)) == local.astimezone(UTC)


def test_a_deadline_polls_at_least_once_and_then_raises_with_its_reason() -> None:
    clock = ManualClock()
    seen = []
    with pytest.raises(DeadlineError, match="the moon did not happen within 1 s"):
        for left in Deadline(1.0, "the moon", clock).poll(0.3):
            seen.append(left)
    assert len(seen) >= 3 and seen[0] == 1.0


def test_a_file_is_wholly_there_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and [p.name for p in path.parent.iterdir()] == ["b"]


def test_a_registry_reference_is_by_index_digest_and_an_engine_reference_by_image_id() -> None:
    assert ImageRef(fingerprint="f", repository="r/api", digest="sha256:1").reference() == "r/api@sha256:1"
    assert ImageRef(fingerprint="f", image_id="sha256:2", engine_id="e").reference() == "sha256:2"


def test_settings_come_from_the_environment_over_what_set_up_recorded(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "stack.yaml").write_text("x")
    (tmp_path / ".cortex").mkdir()
    (tmp_path / ".cortex" / "engine.json").write_text('{"host": "unix:///a.sock", "mirror": "m:5000"}')
    inner = tmp_path / "deploy"
    settings = load_settings({"CORTEX_OPS_MIRROR": ""}, cwd=inner)
    assert settings.project == tmp_path and settings.docker_host == "unix:///a.sock" and settings.mirror == ""
    assert load_settings({"CORTEX_OPS_STORE": "s3://b/p"}, cwd=inner).store == "s3://b/p"


def test_certificates_and_linked_configuration_belong_to_the_engine_that_set_up_found(tmp_path: Path) -> None:
    (tmp_path / ".cortex").mkdir()
    found = {"host": "tcp://far:2376", "tls": "/certs", "config_dir": "/linked", "kind": "found"}
    (tmp_path / ".cortex" / "engine.json").write_text(json.dumps(found))
    env = load_settings({"DOCKER_CONFIG": "/own"}, cwd=tmp_path).docker_env()
    assert (env["DOCKER_TLS_VERIFY"], env["DOCKER_CERT_PATH"], env["DOCKER_CONFIG"]) == ("1", "/certs", "/linked")
    assert "DOCKER_CERT_PATH" not in load_settings({"DOCKER_HOST": "unix:///b.sock"}, cwd=tmp_path).docker_env()


def test_a_broken_record_of_set_up_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".cortex").mkdir()
    (tmp_path / ".cortex" / "engine.json").write_text("{")
    with pytest.raises(OpsError, match=r"engine\.json cannot be read"):
        load_settings({}, cwd=tmp_path)
