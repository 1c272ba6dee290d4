"""One-shot containers for backups and drills: labelled with the run, never `exec`, always removed.

Killing the docker client does not stop its container, so each has a name by which it is removed; what a killed
run left is found by its labels.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.clock import Deadline
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import Pipeline, Stage

LABEL = "org.cortex-ops."


@dataclass(frozen=True)
class Box:
    """How a container is run. `mounts` are `-v`/`--mount` values; `limits` further `docker run` flags."""

    image: str
    network: str
    user: str
    volumes: tuple[str, ...] = ()
    volumes_from: str = ""
    mounts: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    logs: bool = False


@dataclass
class Crew:
    """The containers of one run's task (`backup` or `drill`) in an environment with this prefix."""

    engine: Engine
    prefix: str
    run_id: str
    task: str
    started: list[str] = field(default_factory=list)

    def labels(self, service: str) -> dict[str, str]:
        return {
            LABEL + "project": self.prefix,
            LABEL + "role": "helper",
            LABEL + "task": self.task,
            LABEL + "run": self.run_id,
            LABEL + "service": service,
        }

    def name(self, what: str) -> str:
        return f"{self.prefix}-{self.task}-{what}-{secrets.token_hex(4)}"

    @contextlib.contextmanager
    def run(
        self, box: Box, service: str, command: Sequence[str], *, what: str, stdin: bool = False
    ) -> Iterator[Pipeline]:
        """A container in the foreground as a pipeline of one; gone at the end of the block, however it ends."""
        name = self.name(service)
        argv = self.engine.argv(*run_arguments(box, name, self.labels(service), command, stdin=stdin))
        pipe = subprocess.PIPE if stdin else subprocess.DEVNULL
        pipeline = Pipeline([Stage(argv, what, env=self.engine.env())], stdin=pipe)
        ended = False
        try:
            with pipeline:
                try:
                    yield pipeline
                    ended = pipeline.ended()
                finally:
                    if not ended:
                        # The client first: while it hangs on a full pipe, the engine cannot remove the container.
                        pipeline.kill()
        finally:
            if not ended:
                self.remove(name, sure=True)

    @contextlib.contextmanager
    def background(self, box: Box, service: str, command: Sequence[str], *, what: str) -> Iterator[str]:
        """A container that runs beside; yields its name, and removes it with its anonymous volumes."""
        name = self.name(service)
        argv = run_arguments(box, name, self.labels(service), command, stdin=False, detach=True)
        try:
            self.engine.run(self.engine.argv(*argv), what=what, deadline=120)
            yield name
        finally:
            self.remove(name)

    def logs(self, name: str, lines: int = 25) -> list[str]:
        """The last lines a background container wrote; none when it is gone."""
        done = self.engine.run(
            self.engine.argv("logs", "--tail", str(lines), name), what="reading logs", deadline=30, check=False
        )
        return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] if done.code == 0 else []

    def running(self, name: str) -> bool:
        argv = self.engine.argv("inspect", "--format", "{{.State.Running}}", name)
        return self.engine.run(argv, what="looking", deadline=30, check=False).stdout.strip() == "true"

    def remove(self, name: str, *, sure: bool = False) -> None:
        """Kill and remove with its anonymous volumes; returns when it is gone, within 15 s.

        `sure`: its client was killed, and the engine may only be creating it now, so absence is asked for twice.
        Problems are left to the next run's `reap`.
        """
        absent = 0
        with contextlib.suppress(OpsError):
            for _ in Deadline(15, f"removal of {name}").poll():
                argv = self.engine.argv("rm", "-f", "-v", name)
                done = self.engine.run(argv, what=f"removing {name}", deadline=60, check=False)
                absent += "No such container" in done.stderr
                removed = done.code == 0 and not done.stderr.strip()
                if removed or absent > sure:  # else the engine is removing it already, by its own --rm
                    return

    def reap(self) -> list[str]:
        """Remove what dead runs of this task left in this environment. Call with the task's lock."""
        filters = (f"label={LABEL}project={self.prefix}", f"label={LABEL}task={self.task}")
        flags = [part for one in filters for part in ("--filter", one)]
        done = self.engine.run(
            self.engine.argv("ps", "-a", *flags, "--format", "{{.Names}}"), what="listing containers", deadline=60
        )
        names = sorted(done.stdout.split())
        if names:
            self.engine.run(
                self.engine.argv("rm", "-f", "-v", *names), what="removing leftovers", deadline=120, check=False
            )
        return names


def run_arguments(
    box: Box, name: str, labels: Mapping[str, str], command: Sequence[str], *, stdin: bool, detach: bool = False
) -> list[str]:
    """`docker run …`: never pulls, keeps no log but a small one where asked, may write only to /tmp and mounts."""
    log = ("--log-driver", "local", "--log-opt", "max-size=1m") if box.logs else ("--log-driver", "none")
    entry, *arguments = command
    return [
        "run",
        *(("--detach",) if detach else ("--rm",)),
        *(("--interactive",) if stdin else ()),
        *("--name", name, "--pull", "never", *log),
        *("--network", box.network, "--user", box.user),
        *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *(part for key, value in sorted(labels.items()) for part in ("--label", f"{key}={value}")),
        *(part for volume in box.volumes for part in ("--volume", volume)),
        *(("--volumes-from", box.volumes_from) if box.volumes_from else ()),
        *(part for one in box.mounts for part in ("--mount", one)),
        *box.flags,
        *("--entrypoint", entry, box.image, *arguments),
    ]
