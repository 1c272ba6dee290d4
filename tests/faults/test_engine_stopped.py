"""The engine is stopped while a release is under way: one sentence, and when it is back the next run needs no hand.

The engine is a private one in a network namespace of its own; runs are started inside it, where its ports are.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cortex_ops import pipeline
from cortex_ops.images.build import _record_key
from deploy.setup.bare import BareEngine
from deploy.setup.finding import ask
from tests.support.checkout import own_engine
from tests.support.engine import docker_env, record
from tests.support.tiny import Tiny, tiny_project
from tests.support.victim import Victim

ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=2).read().decode(), end='')"


@dataclass
class Elsewhere:
    """The tiny system on an engine that a test may stop. Its images were built in the machine's engine."""

    tiny: Tiny
    engine: BareEngine

    def inside(self, *argv: str) -> list[str]:
        pid = self.engine.dockerd().pid_file.read_text().split()[0]
        return ["nsenter", f"--net=/proc/{pid}/ns/net", *argv]

    def environ(self) -> dict[str, str]:
        return self.tiny.environ(DOCKER_HOST=self.engine.host)

    def build(self, content: str) -> None:
        """Build here, carry the images over, and record there that they were built there."""
        self.tiny.answer(content)
        w = self.tiny.wire()
        built = pipeline.build(w, "local").lock.images
        names = [ref.image_id for ref in built.values()]
        save = subprocess.Popen([record()["docker"], "save", *names], env=docker_env(), stdout=subprocess.PIPE)
        there = {**os.environ, "DOCKER_HOST": self.engine.host}
        subprocess.run([record()["docker"], "load", "-q"], env=there, stdin=save.stdout, check=True, timeout=120)
        assert save.wait(60) == 0
        identity = str((ask(self.engine.host, "/info", 20) or {})["ID"])
        for ref in built.values():
            moved = ref.model_copy(update={"engine_id": identity})
            w.store.put_if_absent(_record_key(moved), moved.to_json())

    def release(self) -> Victim:
        process = subprocess.Popen(
            self.inside(*self.tiny.job_argv("release")),
            cwd=self.tiny.root,
            env=self.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return Victim(process)

    def get(self) -> str:
        """What a user gets, within half a minute of the engine's start."""
        ask_it = self.inside(sys.executable, "-c", ASK, f"{self.tiny.url}/")
        end = time.monotonic() + 30
        while True:
            done = subprocess.run(ask_it, capture_output=True, text=True, check=False)
            if done.returncode == 0 or time.monotonic() > end:
                return done.stdout
            time.sleep(0.3)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with own_engine() as engine, tiny_project(tmp_path_factory.mktemp("stopped")) as tiny:
        found = Elsewhere(tiny, engine)
        found.build("one")
        first = found.release()
        assert first.end() == 0, first.lines
        yield found


@pytest.mark.parametrize("moment", ["· starting release", "· integration tests"])
def test_an_engine_that_stops_is_named_and_the_next_run_after_its_return_settles_and_releases(
    elsewhere: Elsewhere, moment: str
) -> None:
    old = elsewhere.get()
    elsewhere.build(f"after {moment}")
    victim = elsewhere.release()
    assert victim.wait_for(moment), victim.lines
    elsewhere.engine.stop()
    try:
        assert victim.end(90) == 1
        assert any("the Docker engine at" in line for line in victim.lines[-5:]), victim.lines
    finally:
        elsewhere.engine.start()
    assert elsewhere.get() == old, "the release that was live serves again"
    again = elsewhere.release()
    assert again.end() == 0, again.lines
    assert elsewhere.get() == f"after {moment}"
    w = elsewhere.tiny.wire()
    assert w.history("local").unfinished() == []
