"""The bare machine's own engine: it comes up whatever was left behind, and only its starter takes it down."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.setup.bare import BareEngine
from deploy.setup.daemons import Daemon, start_time
from deploy.setup.finding import ask, version_at
from deploy.setup.registry import Registry, answers
from deploy.setup.shell import SetupError
from tests.support.checkout import CACHE, PROGRAMS, checkout, daemons, own_engine, seconds_until, short_folder
from tests.support.engine import docker_env, record

IMAGE = "debian:bookworm-slim"


@pytest.fixture(scope="module")
def engine() -> Iterator[BareEngine]:
    """A private engine; each test leaves it running."""
    with own_engine() as started:
        yield started


def docker(engine: BareEngine, *arguments: str) -> str:
    env = {**os.environ, "DOCKER_HOST": engine.host}
    done = subprocess.run(
        [record()["docker"], *arguments], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def pid(daemon: Daemon) -> int:
    return int(daemon.pid_file.read_text().split()[0])


def identity(host: str) -> str:
    return str((ask(host, "/info", 20) or {}).get("ID"))


def bound(where: socket.socket, port: int) -> bool:
    with contextlib.suppress(OSError):
        where.bind(("127.0.0.1", port))
        return True
    return False


def links() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir()}


def mounts(folder: Path) -> list[str]:
    points = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    return [point for point in points if Path(point).is_relative_to(folder)]


def with_an_image(engine: BareEngine, folder: Path) -> str:
    """A small image of one static program."""
    (folder / "root").mkdir(exist_ok=True)
    (folder / "root" / "file").write_text("kept")
    subprocess.run(["tar", "-cf", folder / "image.tar", "-C", folder / "root", "."], check=True)
    return docker(engine, "import", str(folder / "image.tar"), "kept:1")


def with_debian(engine: BareEngine, folder: Path) -> None:
    """The base image, carried over from the machine's engine: an isolated one reaches no registry."""
    archive = folder / "debian.tar"
    whole = [record()["docker"], "save", "-o", str(archive), IMAGE]
    subprocess.run(whole, env=docker_env(), check=True, capture_output=True, timeout=120)
    docker(engine, "load", "-q", "-i", str(archive))


def test_a_second_engine_runs_beside_the_first_and_leaves_it_alone(engine: BareEngine) -> None:
    first, before = record()["host"], links()
    assert "docker0" in before
    assert version_at(engine.host) and version_at(first)
    assert identity(engine.host) != identity(first)
    others = daemons()
    with own_engine() as third:
        assert identity(third.host) not in (identity(first), identity(engine.host))
        third.stop()
        third.start()  # a dockerd that comes back tidies up the networks that it finds
        assert len(daemons(third.home)) == 2
    assert daemons() == others and not daemons(third.home)
    assert version_at(first) and version_at(engine.host)
    assert "docker0" in links()
    assert not mounts(third.home) and not mounts(third.runtime)


def test_the_engine_that_docker_host_names_is_taken_rather_than_the_machine_s_own(
    engine: BareEngine, tmp_path: Path
) -> None:
    before = daemons()
    other = checkout(tmp_path / "checkout", DOCKER_HOST=engine.host, PATH=f"{PROGRAMS}/usr/bin:{os.environ['PATH']}")
    done = other.setup("all")
    assert done.returncode == 0, done.stderr
    assert (other.record()["kind"], other.record()["host"]) == ("found", engine.host)
    assert daemons() == before


def test_killed_daemons_come_back_with_what_they_held(engine: BareEngine, tmp_path: Path) -> None:
    image = with_an_image(engine, tmp_path)
    for daemon in (engine.dockerd(), engine.containerd()):
        os.kill(pid(daemon), signal.SIGKILL)
        os.waitpid(pid(daemon), 0)
    assert not engine.running()
    engine.start()
    assert docker(engine, "image", "inspect", "-f", "{{.Id}}", "kept:1") == image


def test_a_killed_containerd_alone_is_brought_back_too(engine: BareEngine, tmp_path: Path) -> None:
    os.kill(pid(engine.containerd()), signal.SIGKILL)
    os.waitpid(pid(engine.containerd()), 0)
    engine.start()
    with_an_image(engine, tmp_path)


def test_a_daemon_that_is_about_to_end_is_waited_for_and_started_again(engine: BareEngine) -> None:
    dying = pid(engine.dockerd())
    os.kill(dying, signal.SIGSTOP)  # it lives and does not answer, as one does that is on its way out
    end = threading.Timer(1, os.kill, (dying, signal.SIGKILL))
    end.start()
    try:
        engine.start()
    finally:
        end.join()
    assert version_at(engine.host) and pid(engine.dockerd()) != dying


def test_a_pid_that_another_process_has_now_is_neither_believed_nor_stopped() -> None:
    with (
        short_folder() as folder,
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other,
    ):
        engine = BareEngine(CACHE, folder / "home", folder / "run")
        (folder / "run").mkdir()
        assert start_time(other.pid) != "12345"
        for name in ("containerd", "dockerd"):
            (folder / "run" / f"{name}.pid").write_text(f"{other.pid} 12345")
        (folder / "run" / "dockerd-own.pid").write_text(str(other.pid))
        try:
            assert not engine.stop() and other.poll() is None
            engine.start()
            assert version_at(engine.host)
        finally:
            engine.stop()
        assert other.poll() is None
        assert other.stdin is not None
        other.stdin.write(b"\n")


def test_a_daemon_that_is_only_slow_is_not_replaced(engine: BareEngine) -> None:
    dockerd, before = engine.dockerd(), pid(engine.dockerd())
    os.kill(before, signal.SIGSTOP)
    try:
        with pytest.raises(SetupError, match=rf"dockerd runs \(pid {before}\) and does not answer within 1 s"):
            dockerd.start(lambda: bool(version_at(engine.host)), deadline=1)
    finally:
        os.kill(before, signal.SIGCONT)
    assert seconds_until(lambda: version_at(engine.host), 10) and pid(dockerd) == before


def test_a_daemon_that_does_not_come_up_says_why_and_leaves_no_process() -> None:
    with short_folder() as folder:
        for name in ("bin", "sbin"):
            (folder / "newer" / "usr" / name).mkdir(parents=True)
        (folder / "newer/usr/bin/containerd").symlink_to(PROGRAMS / "usr/bin/containerd")
        (folder / "newer/usr/sbin/dockerd").write_text("#!/bin/sh\necho no such cgroup\nexit 3\n")
        (folder / "newer/usr/sbin/dockerd").chmod(0o755)
        engine = BareEngine(folder, folder / "home", folder / "run")
        with pytest.raises(SetupError, match=r"dockerd did not start; its log .* ends with:\n\s+no such cgroup"):
            engine.start()
        engine.stop()
        assert not daemons(folder)


def test_the_engine_follows_a_registry_that_came_back_on_another_port(engine: BareEngine) -> None:
    with short_folder() as folder, socket.socket() as taken:
        registry = Registry(CACHE, folder)
        try:
            first = registry.start()
            assert first != record()["mirror"], "the port of somebody else's registry was taken for ours"
            assert registry.start() == first
            before = pid(engine.dockerd())
            followed = BareEngine(CACHE, engine.home, engine.runtime, mirror=first)
            followed.start()
            assert followed.mirrors() == [f"http://{first}"]
            registry.stop()
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Another test's registry may have taken it at once.
            assert seconds_until(lambda: bound(taken, int(first.rpartition(":")[2])), 120)
            taken.listen()
            second = registry.start()
            assert second != first and answers(second)
            followed = BareEngine(CACHE, engine.home, engine.runtime, mirror=second)
            followed.start()
            assert followed.mirrors() == [f"http://{second}"] and pid(engine.dockerd()) == before
        finally:
            registry.stop()


def test_a_set_up_that_was_killed_at_any_moment_is_settled_by_the_next(tmp_path: Path) -> None:
    with short_folder() as folder:
        where = {"CORTEX_OPS_ENGINE_HOME": str(folder / "home"), "CORTEX_OPS_RUNTIME": str(folder / "run")}
        project = checkout(tmp_path / "a", **where)
        engine, registry = BareEngine(CACHE, folder / "home", folder / "run"), Registry(CACHE, folder / "run")
        try:
            for moment in (0.15, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0):
                begun = project.begin("engine")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    begun.wait(moment)
                begun.kill()
                begun.communicate()
            done = project.setup("engine")
            assert done.returncode == 0, done.stderr
            assert version_at(engine.host) and answers(project.record()["mirror"])
            assert sorted(daemons(folder).values()) == ["containerd", "docker-registry", "dockerd"]
            assert "stopped the engine" in project.setup("stop").stderr
            assert not daemons(folder) and not mounts(folder)
        finally:
            engine.stop()
            registry.stop()


def test_without_a_network_set_up_ends_with_a_sentence_and_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: Could not resolve the mirror' >&2\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    with short_folder() as folder:
        where = {"CORTEX_OPS_ENGINE_HOME": str(folder / "home"), "CORTEX_OPS_RUNTIME": str(folder / "run")}
        project = checkout(tmp_path / "a", CORTEX_OPS_CACHE=str(tmp_path / "cache"), **where)
        done = project.setup("engine", PATH=f"{tmp_path}:{os.environ['PATH']}")
        assert done.returncode == 2 and not daemons(folder)
    assert "E: Could not resolve the mirror" in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("  → check the network and this machine's apt sources")


def test_two_set_ups_at_once_start_one_engine(tmp_path: Path) -> None:
    with short_folder() as folder:
        where = {"CORTEX_OPS_ENGINE_HOME": str(folder / "home"), "CORTEX_OPS_RUNTIME": str(folder / "run")}
        projects = [checkout(tmp_path / name, **where) for name in ("a", "b")]
        engine = BareEngine(CACHE, folder / "home", folder / "run")
        try:
            begun = [project.begin("engine") for project in projects]
            said = [one.communicate(timeout=120)[1] for one in begun]
            assert [one.returncode for one in begun] == [0, 0], said
            assert sorted(daemons(folder).values()) == ["containerd", "docker-registry", "dockerd"]
            assert projects[0].record() == projects[1].record()
            assert sorted("✓ using the engine that runs" in text for text in said) == [False, True]
        finally:
            engine.stop()
            Registry(CACHE, folder / "run").stop()


def test_only_the_project_that_started_the_engine_stops_it_and_not_under_others_containers(tmp_path: Path) -> None:
    with short_folder() as folder:
        where = {"CORTEX_OPS_ENGINE_HOME": str(folder / "home"), "CORTEX_OPS_RUNTIME": str(folder / "run")}
        where["PATH"] = f"{PROGRAMS}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        starter, user = checkout(tmp_path / "a", **where), checkout(tmp_path / "b", **where)
        engine = BareEngine(CACHE, folder / "home", folder / "run")
        try:
            # Where a bare engine runs already for this whole machine, it stays the one of every other checkout.
            done = starter.setup("engine")
            assert done.returncode == 0, done.stderr
            assert starter.record()["host"] == engine.host
            before = pid(engine.dockerd())
            again = user.setup("engine")
            assert again.returncode == 0 and f"using the engine that runs at {engine.host}" in again.stderr
            assert user.record()["host"] == engine.host and pid(engine.dockerd()) == before
            assert user.setup("stop").returncode == 0
            assert version_at(engine.host), "a project that only used the engine stopped it"
            with_debian(engine, folder)
            docker(engine, "run", "-d", "--network", "none", "--name", "somebody-s", IMAGE, "sleep", "300")
            stays = starter.setup("stop")
            assert stays.returncode == 0 and "the engine stays: 1 containers run on it: somebody-s" in stays.stderr
            docker(engine, "rm", "-f", "somebody-s")
            stopped = starter.setup("stop")
            assert "stopped the engine and the registry" in stopped.stderr
            assert not version_at(engine.host) and not engine.containerd().running()
            assert starter.setup("stop").returncode == 0
        finally:
            engine.stop()
            Registry(CACHE, folder / "run").stop()


def test_the_engine_of_a_deleted_project_belongs_to_the_next_that_uses_it(engine: BareEngine, tmp_path: Path) -> None:
    where = {"CORTEX_OPS_ENGINE_HOME": str(engine.home), "CORTEX_OPS_RUNTIME": str(engine.runtime)}
    (engine.home / "started-by").write_text(str(tmp_path / "deleted"))
    heir = checkout(tmp_path / "heir", **where)
    try:
        assert heir.setup("engine").returncode == 0
        assert (engine.home / "started-by").read_text() == str(heir.folder)
    finally:
        Registry(CACHE, engine.runtime).stop()
        (engine.home / "started-by").unlink()
