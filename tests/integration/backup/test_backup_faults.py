"""Bad days of a backup: killed runs and producers, a full disk, and secrets looked for everywhere."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cortex_ops.backup import BackupContext, run_backup
from cortex_ops.backup import keys as backup_keys
from cortex_ops.backup.drill import run_drill
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.progress import Progress
from cortex_ops.kernel.redact import encodings
from cortex_ops.store.local import LocalStore, LocalWriter
from tests.support import backup_torture as torture
from tests.support import victim
from tests.support.engine import docker, docker_env, record
from tests.support.postgres import SAMPLE, Place, sample_postgres

COUNT = int(os.environ.get("CORTEX_OPS_TORTURE_COUNT", "6"))  # signals alternate: three of each
SEED = int(os.environ.get("CORTEX_OPS_TORTURE_SEED", "20260102"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bulk")


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[Place]:
    with torture.bulky_postgres(folder) as found:
        yield found


@pytest.mark.timeout(120 + 60 * COUNT)
def test_a_backup_killed_at_any_moment_leaves_nothing_half_published(place: Place, folder: Path) -> None:
    torture.duration(place, folder)  # the first makes keys
    whole = torture.duration(place, folder)
    kills = victim.torture(COUNT, SEED, whole, functools.partial(torture.kill_once, place, folder), print)
    assert sum(kill.hit for kill in kills) == COUNT
    assert [problem for kill in kills for problem in kill.problems] == [], f"seed {SEED}"
    assert any(kill.state in ("no set", "unfinished set") for kill in kills), "no run was hit at all"


def test_the_torture_catches_a_planted_defect(place: Place, folder: Path) -> None:
    assert any("is unfinished after the next run" in problem for problem in torture.control(place, folder))
    assert place.helpers() == []


class Waiting(LocalStore):
    """A store that, once data flows into it, does something and only then takes more: the producer is caught in
    the middle of its work, with full pipes behind it."""

    def __init__(self, root: Path, act: Callable[[], None]) -> None:
        super().__init__(root)
        self.act = act
        self.acted = False

    def open_writer(self, key: str) -> LocalWriter:
        writer = super().open_writer(key)
        real = writer.write

        def write(data: bytes) -> int:
            if not self.acted:
                self.acted = True
                time.sleep(0.5)
                self.act()
                time.sleep(0.5)
            return real(data)

        if key.endswith("data.sql.zst.age"):
            writer.write = write  # type: ignore[method-assign]
        return writer


def _caught(place: Place, tmp_path: Path, act: Callable[[str], None]) -> BackupContext:
    """A backup during whose dump `act` gets the name of the container."""

    def find_and_act() -> None:
        (name,) = place.helpers()
        act(name)

    settings = dataclasses.replace(place.settings, store=str(tmp_path / "store"))
    return place.context(settings=settings, store=Waiting(tmp_path / "store", find_and_act))


def _kill_dump(name: str) -> None:
    """The program that dumps, and nothing else of its container."""
    lines = docker("top", name, "-o", "pid,args").splitlines()
    os.kill(next(int(line.split()[0]) for line in lines if line.split()[1] == "pg_dump"), signal.SIGKILL)


def _kill_container(name: str) -> None:
    os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", name)), signal.SIGKILL)


def _remove(name: str) -> None:
    """Not waited for: the engine finishes only when somebody reads on."""
    subprocess.Popen([record()["docker"], "rm", "-f", name], env=docker_env(), stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (_kill_dump, r"pg_dump failed \(exit 137\)"),
        (_kill_container, r"dumping postgres failed \(exit 137\)"),
        (_remove, r"dumping postgres failed \(exit 137\)"),
    ],
    ids=["program", "container", "removal"],
)
def test_a_dump_that_dies_in_the_middle_publishes_nothing(
    place: Place, tmp_path: Path, act: Callable[[str], None], sentence: str
) -> None:
    ctx = _caught(place, tmp_path, act)
    with pytest.raises(OpsError, match=sentence):
        run_backup(ctx)
    assert ctx.store.list("") == []
    assert list((tmp_path / "store" / ".partial").iterdir()) == []
    assert place.helpers() == []


def test_a_server_that_dies_in_the_middle_publishes_nothing(place: Place, tmp_path: Path) -> None:
    def kill_server(_name: str) -> None:
        docker("kill", place.container)

    ctx = _caught(place, tmp_path, kill_server)
    try:
        with pytest.raises(OpsError, match=r"pg_dump failed \(exit 1\): .*server"):
            run_backup(ctx)
    finally:
        docker("start", place.container)
        until = time.monotonic() + 30
        while time.monotonic() < until and not _answers(place):
            time.sleep(0.2)
    assert ctx.store.list("") == []
    assert place.helpers() == []


def _answers(place: Place) -> bool:
    try:
        return place.sql("SELECT 1") == "1"
    except AssertionError:
        return False


def test_a_disk_that_fills_up_is_said_in_its_own_words_and_nothing_is_left(place: Place, tmp_path: Path) -> None:
    store = tmp_path / "small"
    store.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(store)], check=True)
    try:
        ctx = place.context(settings=dataclasses.replace(place.settings, store=str(store)))
        with pytest.raises(OpsError, match="no space left on the disk that holds") as caught:
            run_backup(ctx)
        assert caught.value.remedy
        assert ctx.store.list("") == []
        assert list((store / ".partial").iterdir()) == []
        assert place.helpers() == []
    finally:
        subprocess.run(["umount", str(store)], check=True)


def test_a_killed_drill_leaves_a_container_that_the_next_one_reaps(place: Place, folder: Path) -> None:
    ctx = place.context()
    set_id = run_backup(ctx).set_id
    child = torture.start(place, folder, "f" * 32, "drill")
    until = time.monotonic() + 60
    while time.monotonic() < until and not any("copy" in name for name in place.helpers()):
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=30)
    left = place.helpers()
    assert any("copy" in name for name in left), "the throwaway outlives its run"
    volumes = json.loads(docker("inspect", "--format", "{{json .Mounts}}", next(n for n in left if "copy" in n)))
    drilled = run_drill(ctx, set_id)
    assert any("copy" in name for name in drilled.reaped)
    assert place.helpers() == []
    assert docker("volume", "ls", "-q", "--filter", f"name={volumes[0]['Name']}") == "", "with its data"


# -- secrets ---------------------------------------------------------------------------------------------------


class Watch(threading.Thread):
    """Collects every argument vector on this machine and every container's settings, until told to stop."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self.place, self.over = place, threading.Event()
        self.seen: set[bytes] = set()
        self.inspected: dict[str, str] = {}

    def run(self) -> None:
        while not self.over.is_set():
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    self.seen.add((entry / "cmdline").read_bytes())
                except OSError:
                    continue
            if time.monotonic() % 0.3 < 0.1:
                for name in self.place.helpers():
                    self.inspected.setdefault(name, docker("inspect", name, check=False))
            time.sleep(0.02)


def test_secrets_are_found_nowhere_not_even_after_failures(tmp_path: Path) -> None:
    marked = SAMPLE + "INSERT INTO tasks (title) VALUES ('sentinel-row/in the+database%');"
    said: list[str] = []
    with sample_postgres(tmp_path, sql=marked) as place:
        watch = Watch(place)
        watch.start()
        progress = Progress(sink=said.append)
        ctx = place.context(progress=progress)
        result = run_backup(ctx)
        drilled = run_drill(ctx)
        said += [result.model_dump_json(), drilled.model_dump_json(), repr(ctx)]
        said += _failures(place, progress)
        watch.over.set()
        watch.join()
        keys = place.settings.keys
        secrets = {
            "password": place.password,
            "role's password": "app-role-password",
            "row": "sentinel-row/in the+database%",
            **{
                name: (keys / name).read_text().strip()
                for name in (backup_keys.DRILL, backup_keys.OPERATOR, backup_keys.SIGNING)
            },
        }
        stored = {str(path): path.read_bytes() for path in Path(place.settings.store).rglob("*") if path.is_file()}
        server_log = docker("logs", place.container, check=False)
    assert len(watch.inspected) >= 4, "helpers were looked at while they ran"
    assert any(b"pg_dump" in argv for argv in watch.seen) and any(b"initdb" in argv for argv in watch.seen)
    places: dict[str, bytes] = {
        "what was said": "\n".join(said).encode(),
        "argument vectors": b"\n".join(watch.seen),
        "container settings": "\n".join(watch.inspected.values()).encode(),
        "the server's log": server_log.encode(),
        **stored,
    }
    found = [
        f"{name} in {where}"
        for name, value in secrets.items()
        for form in encodings(value.encode())
        for where, data in places.items()
        if form.encode() in data
    ]
    assert found == []


def _failures(place: Place, progress: Progress) -> list[str]:
    """Runs that fail, and all that they say."""
    said = []
    ctx = place.context(progress=progress)
    place.sql("ALTER ROLE cortex PASSWORD 'another'")
    with pytest.raises(OpsError) as refused:
        run_backup(ctx)
    place.sql(f"ALTER ROLE cortex PASSWORD '{place.password}'")
    said += refused.value.lines()
    part = next(key for key in ctx.store.list("backups/") if "data" in key)
    path = Path(place.settings.store) / part
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-50] + bytes(50))
    with pytest.raises(OpsError) as damaged:
        run_drill(ctx)
    said += damaged.value.lines()
    return said


def test_the_console_of_a_run_that_is_told_to_end_says_so_without_a_trace(place: Place, folder: Path) -> None:
    with victim.Victim(torture.start(place, folder, "e" * 32)) as struck:
        assert struck.wait_for("· postgres: dump"), struck.lines
        struck.strike(signal.SIGTERM)
        assert struck.end() == 130
    assert struck.lines[-1] == "told to end by SIGTERM"
    assert not any("Traceback" in line for line in struck.lines)
    assert place.helpers() == []


def test_the_engine_being_away_is_one_sentence(place: Place, tmp_path: Path) -> None:
    settings = dataclasses.replace(
        place.settings, docker_host=f"unix://{tmp_path}/none.sock", store=str(tmp_path / "store")
    )
    ctx = dataclasses.replace(place.context(settings=settings), engine=type(place.engine)(settings))
    with pytest.raises(OpsError, match=r"the Docker engine at unix:///.*none.sock does not answer"):
        run_backup(ctx)
    assert ctx.store.list("") == []
    assert record()["docker"] and docker_env()["DOCKER_HOST"]
