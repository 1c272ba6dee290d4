"""Releases on the real engine: what goes live, what is repaired, what is refused, and what keeps serving."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortex_ops import pipeline
from cortex_ops.kernel.errors import OpsError, RefusedError
from tests.support.engine import docker
from tests.support.tiny import Tiny, tiny_project


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A system with release `one` live; each test leaves some release live."""
    with tiny_project(tmp_path_factory.mktemp("tiny")) as project:
        assert project.release().ok
        yield project


def live_answer(tiny: Tiny, text: str) -> None:
    """Make sure that a release saying `text` is live."""
    tiny.answer(text)
    assert tiny.release().ok
    assert tiny.get() == text


def serving(tiny: Tiny) -> str:
    """What is live, and would be released again; a new release only where an earlier test left something else."""
    tree = {
        name: (tiny.monorepo / name).read_text() for name in ("api/answer.txt", "api/mode.txt", "tests/expected.txt")
    }
    text = tree["api/answer.txt"]
    if list(tree.values()) != [text, "ok", "anything"] or tiny.get() != text:
        live_answer(tiny, text := f"again {secrets.token_hex(4)}")
    return text


@contextmanager
def trying(tiny: Tiny, text: str, **how: str) -> Iterator[None]:
    """The next release would say `text`; afterwards it would be what is live again."""
    before = serving(tiny)
    tiny.answer(text, **how)
    try:
        yield
    finally:
        tiny.answer(before)


def test_a_release_is_live_recorded_and_pinned_by_content(tiny: Tiny) -> None:
    serving(tiny)
    w = tiny.wire()
    record = w.history("local").live()
    assert record is not None and record.outcome is not None and record.verdict is not None
    assert record.verdict.passed and [c.name for c in record.verdict.cases] == ["the api answers"]
    wanted = record.intent.lock.images["api"].reference()
    (name,) = tiny.containers(role="service", release=f"r{record.seq}")
    assert docker("inspect", "-f", "{{.Config.Image}}", name) == wanted
    assert wanted.startswith("sha256:")


def test_a_second_release_of_the_same_is_a_no_op_that_says_so(tiny: Tiny) -> None:
    serving(tiny)
    before = tiny.containers()
    step = tiny.release()
    assert step.noop and step.ok and "nothing to do" in step.message
    assert tiny.containers() == before


def test_containers_are_hardened_as_rendered(tiny: Tiny) -> None:
    serving(tiny)
    seq = tiny.wire().history("local").live().seq  # type: ignore[union-attr]
    (name,) = tiny.containers(role="service", release=f"r{seq}")
    found = docker(
        "inspect",
        "-f",
        "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.Config.User}}",
        name,
    )
    assert found == "true [ALL] [no-new-privileges:true seccomp=builtin] 1000:1000"


@pytest.mark.parametrize("damage", ["removed", "paused", "stopped", "memory", "tag moved"])
def test_what_a_hand_changed_the_next_release_repairs(tiny: Tiny, damage: str) -> None:
    before = serving(tiny)
    seq = tiny.wire().history("local").live().seq  # type: ignore[union-attr]
    (name,) = tiny.containers(role="service", release=f"r{seq}")
    if damage == "removed":
        docker("rm", "-f", name)
    elif damage == "paused":
        docker("pause", name)
    elif damage == "stopped":
        docker("stop", "-t", "1", name)
    elif damage == "memory":
        docker("update", "--memory", "64m", "--memory-swap", "64m", name)
    else:
        live = tiny.wire().history("local").live()
        assert live is not None
        image = live.intent.lock.images["api"].reference()
        (tag,) = docker("image", "inspect", "-f", '{{join .RepoTags " "}}', image).split()
        docker("tag", "node:24-bookworm-slim", tag)
    step = tiny.release()
    assert step.ok
    assert step.noop == (damage == "tag moved"), "a moved tag means nothing to what is pinned by content"
    assert tiny.get() == before
    assert pipeline.health(tiny.wire(), "local").healthy


def test_a_drifted_proxy_is_repaired(tiny: Tiny) -> None:
    before = serving(tiny)
    docker("rm", "-f", f"{tiny.prefix}-edge-edge-1")
    assert tiny.release().ok
    assert tiny.get() == before


def test_drift_is_refused_by_name_where_the_policy_says_so(tiny: Tiny) -> None:
    serving(tiny)
    seq = tiny.wire().history("local").live().seq  # type: ignore[union-attr]
    (name,) = tiny.containers(role="service", release=f"r{seq}")
    tiny.stack({"environments": {"local": {"drift": "refuse"}}})
    try:
        docker("update", "--memory", "64m", "--memory-swap", "64m", name)
        with pytest.raises(RefusedError, match="policy is to refuse") as caught:
            tiny.release()
        assert any(name in line and "memory" in line for line in caught.value.details)
    finally:
        tiny.stack({"environments": {"local": {"drift": "correct"}}})
    assert tiny.release().ok


def test_a_service_that_crashes_is_reported_with_its_last_words_and_the_old_one_serves(tiny: Tiny) -> None:
    before = serving(tiny)
    with (
        trying(tiny, "crash", mode="crash"),
        pytest.raises(OpsError, match=r"api-r[0-9]+ keeps crashing|exited") as caught,
    ):
        tiny.release()
    assert any("cannot find the flux capacitor" in line for line in caught.value.details)
    assert tiny.get() == before
    assert tiny.wire().history("local").records(1)[0].state() == "rolled_back"


def test_a_service_that_never_gets_ready_is_given_up_at_the_deadline(tiny: Tiny) -> None:
    before = serving(tiny)
    tiny.stack({"environments": {"local": {"start_deadline": 6}}})
    try:
        with (
            trying(tiny, "never", mode="never-ready"),
            pytest.raises(OpsError, match=r"api-r[0-9]+ \(running (starting|unhealthy)\)|unhealthy"),
        ):
            tiny.release()
    finally:
        tiny.stack({"environments": {"local": {"start_deadline": None}}})
    assert tiny.get() == before


def test_a_release_that_fails_its_tests_never_gets_traffic(tiny: Tiny) -> None:
    before = serving(tiny)
    with trying(tiny, "bad", expected="something else"):
        step = tiny.release()
    assert not step.ok and "expected something else, got bad" in step.message and "still serves" in step.message
    assert tiny.get() == before
    seq = step.record.seq
    assert tiny.containers(release=f"r{seq}") == []


def test_a_build_that_fails_shows_the_failing_step(tiny: Tiny) -> None:
    before = serving(tiny)
    path = tiny.monorepo / "api" / "Dockerfile"
    text = path.read_text()
    path.write_text(text.replace("USER 1000", "RUN echo compiling; echo missing semicolon >&2; exit 9\nUSER 1000"))
    try:
        with pytest.raises(OpsError, match=r"building .*failed") as caught:
            tiny.release()
        assert any("missing semicolon" in line for line in [caught.value.message, *caught.value.details])
    finally:
        path.write_text(text)
    assert tiny.get() == before


def test_a_base_image_that_does_not_exist_is_one_sentence(tiny: Tiny) -> None:
    before = serving(tiny)
    path = tiny.monorepo / "api" / "Dockerfile"
    text = path.read_text()
    path.write_text(text.replace("FROM node:24-bookworm-slim", "FROM nonesuch-image:7"))
    try:
        with pytest.raises(OpsError, match=r"base image .*nonesuch-image:7.* does not exist or cannot be pulled"):
            tiny.release()
    finally:
        path.write_text(text)
    assert tiny.get() == before


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with tiny_project(tmp_path) as project, socket.socket() as holder:
        holder.bind(("127.0.0.1", project.port))
        holder.listen()
        with pytest.raises(OpsError, match=f"port {project.port} of 127.0.0.1 is already taken"):
            project.release()
        assert project.containers(release="r1") == []


def test_a_release_whose_port_is_taken_leaves_the_old_one_serving_on_its_own(tiny: Tiny) -> None:
    before = serving(tiny)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = str(holder.getsockname()[1])
        tiny.stack({"environments": {"local": {"ports": {"api": taken}}}})
        try:
            with pytest.raises(OpsError, match=f"port {taken} of 127.0.0.1 is already taken"):
                tiny.release()
        finally:
            tiny.stack({"environments": {"local": {"ports": {"api": str(tiny.port)}}}})
    assert tiny.get() == before


def test_a_rollback_is_one_switch_while_the_old_release_still_runs(tiny: Tiny) -> None:
    older = serving(tiny)
    live_answer(tiny, "newer")
    before = set(tiny.containers(role="service"))
    step = pipeline.rollback(tiny.wire(), "local")
    assert step.ok and tiny.get() == older
    assert set(tiny.containers(role="service")) == before


def test_a_rollback_to_a_removed_release_starts_its_own_images_again(tiny: Tiny) -> None:
    text = serving(tiny)
    first = tiny.wire().history("local").live()
    live_answer(tiny, "second")
    live_answer(tiny, "third")
    assert first is not None
    step = pipeline.rollback(tiny.wire(), "local", first.seq)
    assert step.ok and tiny.get() == text
    assert step.record.intent.lock.images["api"] == first.intent.lock.images["api"]


def test_a_second_release_at_once_is_refused_with_the_holders_name(tiny: Tiny) -> None:
    before = serving(tiny)
    tiny.answer("held two")
    w = tiny.wire("holder-run")
    pipeline.build(w, "local")
    pipeline.rollout(w, "local")
    try:
        with pytest.raises(RefusedError, match="run holder-run"):
            tiny.release()
    finally:
        pipeline.interrupt(w, "local")
    assert tiny.get() == before and tiny.release().ok and tiny.get() == "held two"


def test_a_removal_that_was_cut_short_is_completed_by_the_next_release(tiny: Tiny) -> None:
    serving(tiny)
    history = tiny.wire().history("local")
    old = history.live()
    assert old is not None
    live_answer(tiny, "after it")
    docker("rm", "-f", *tiny.containers(release=f"r{old.seq}"))
    networks = f"{tiny.prefix}-r{old.seq}_release"
    assert docker("network", "ls", "-q", "--filter", f"name={networks}"), "its network is left"
    live_answer(tiny, "the next")
    assert docker("network", "ls", "-q", "--filter", f"name={networks}") == ""


def test_what_an_ended_run_left_goes_with_the_next_release_though_its_own_is_finished(tiny: Tiny) -> None:
    """The engine may make a container only after its client was ended, and the release was undone already."""

    def left(name: str, **labels: str) -> str:
        flags = [f"--label=org.cortex-ops.{key}={value}" for key, value in labels.items()]
        name = f"{tiny.prefix}-{name}"
        docker("create", "--name", name, f"--label=org.cortex-ops.project={tiny.prefix}", *flags, image, "true")
        return name

    serving(tiny)
    image = docker("inspect", "--format", "{{.Image}}", tiny.containers(role="service")[0]).strip()
    strays = {left("late-helper", role="helper", run="ended"), left("late-job", role="job", run="ended")}
    others = {left("a-backups", role="helper", run="another", task="backup"), left("an-onlookers", role="helper")}
    try:
        tiny.answer("after")
        assert tiny.release().ok
        assert (strays | others) & set(tiny.containers()) == others
    finally:
        docker("rm", "-f", *strays, *others, check=False)


def test_an_engine_that_is_away_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from cortex_ops.wiring import wire

    monkeypatch.delenv("DOCKER_HOST", raising=False)  # which counts for more than what set-up found
    with tiny_project(tmp_path) as project:
        path = tmp_path / ".cortex" / "engine.json"
        kept = path.read_text()
        path.write_text(json.dumps({**json.loads(kept), "host": f"unix://{tmp_path}/none.sock"}))
        try:
            with pytest.raises(OpsError, match=r"the Docker engine at unix://.*none\.sock does not answer"):
                pipeline.build(wire(project.settings()), "local")
        finally:
            path.write_text(kept)
