"""A disk that fills while images are built: one sentence, nothing half recorded, and the next run works."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortex_ops.kernel.errors import OpsError
from deploy.setup.engine import BareEngine, cache_folder
from tests.support.engine import record
from tests.support.tiny import build_images, scratch_project, tiny_project

FULL = "^the build ran out of disk space → free some space on the engine's disk"


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_step_that_fills_its_disk_leaves_the_old_release_serving_and_the_next_one_works(tmp_path: Path) -> None:
    with tiny_project(tmp_path) as tiny:
        assert tiny.release().ok
        records = tiny.wire().store.list("builds/")
        dockerfile = (tiny.monorepo / "api" / "Dockerfile").read_text()
        filling = "RUN --mount=type=tmpfs,target=/small,size=1048576 head -c 8388608 /dev/zero > /small/x\n"
        tiny.write("api/Dockerfile", dockerfile.replace("COPY", filling + "COPY"))
        tiny.answer("two")
        with pytest.raises(OpsError, match=FULL):
            tiny.release()
        assert tiny.get() == "one"
        assert tiny.wire().store.list("builds/") == records
        assert [one.seq for one in tiny.wire().history("local").records()] == [1], "no release was begun"
        tiny.write("api/Dockerfile", dockerfile)
        assert tiny.release().ok and tiny.get() == "two"


@pytest.mark.usefixtures("plain_proxy")
def test_a_store_that_is_full_records_nothing_and_the_next_build_is_whole(tmp_path: Path) -> None:
    tiny = scratch_project(tmp_path)
    store = tiny.root / ".cortex" / "store"
    with small_disk(store, 1):
        w = tiny.wire()
        (store / "filler").write_bytes(b"0" * 4096)
        with pytest.raises(OSError, match="No space left"), (store / "filler").open("ab", buffering=0) as stream:
            while True:
                stream.write(b"0" * 4096)
        with pytest.raises(OpsError, match="no space left on the disk that holds"):
            build_images(w)
        assert w.store.list("builds/") == []
        (store / "filler").unlink()
        assert set(build_images(tiny.wire()).built) == {"api", "edge"}
        assert build_images(tiny.wire()).built == ()


@pytest.mark.skipif(record()["kind"] != "bare", reason="a private engine needs the programs of a bare machine")
@pytest.mark.usefixtures("plain_proxy")
def test_an_engine_whose_disk_fills_says_so_and_builds_again_once_there_is_room(tmp_path: Path) -> None:
    tiny = scratch_project(tmp_path / "project")
    home = tmp_path / "home"
    with small_disk(home, 160), private_engine(home) as engine:
        tiny.settings_env = {"DOCKER_HOST": engine.host}
        assert set(build_images(tiny.wire()).built) == {"api", "edge"}
        (tiny.monorepo / "api" / "big").write_bytes(os.urandom(96 * 1024**2))
        with pytest.raises(OpsError, match=FULL):
            build_images(tiny.wire())
        assert len(tiny.wire().store.list("builds/")) == 2, "what was built before, and nothing else"
        subprocess.run(["mount", "-o", "remount,size=700m", str(home)], check=True)
        assert build_images(tiny.wire()).built == ("api",)


@contextmanager
def private_engine(home: Path) -> Iterator[BareEngine]:
    runtime = Path(f"/run/cortex-ops-test-{os.getpid()}-full")
    engine = BareEngine(cache_folder(), home=home, runtime=runtime)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        subprocess.run(["umount", str(home / "docker")], capture_output=True, check=False)
        shutil.rmtree(runtime, ignore_errors=True)
