"""One environment on one Docker engine. See `targets.protocol.Target`.

Every step is a plain `docker compose -p … -f … up` that a person can type from the work folder; this class
adds what compose does not do: fail fast with the reasons, deliver secrets, switch, compare, remove narrowly.
"""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cortex_ops.adapters import engine_images, registry
from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.files import write_atomic
from cortex_ops.kernel.parallel import at_once
from cortex_ops.kernel.process import Completed
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.redact import Secret
from cortex_ops.kernel.values import Change, ImageLock, Placed
from cortex_ops.render.yaml_output import read_yaml
from cortex_ops.targets.compose.deliver import VolumeFiles, unpack
from cortex_ops.targets.compose.expected import Expected, compare, expected
from cortex_ops.targets.compose.helper import remove_container
from cortex_ops.targets.compose.lease import ComposeLease
from cortex_ops.targets.compose.observed import Seen, has_image, image_env, last_lines, look, look_at_project
from cortex_ops.targets.compose.start import Starter
from cortex_ops.targets.compose.switch import Switch
from cortex_ops.targets.protocol import JobResult, Live, Pruned

LABEL = "org.cortex-ops."
_RELEASE = re.compile(r"^r(\d+)$")


class ComposeTarget:
    """`work` is a folder of ours for the files that compose reads; `run_id` labels what we start."""

    tests_before_traffic = True

    def __init__(
        self,
        engine: Engine,
        prefix: str,
        work: Path,
        *,
        run_id: str = "",
        progress: Progress = SILENT,
        clock: Clock = SYSTEM,
        start_deadline: float = 180.0,
        restart_budget: int = 2,
    ) -> None:
        self.engine = engine
        self.prefix = prefix
        self.work = work
        self.run_id = run_id
        self.progress = progress
        self.clock = clock
        self.lease = ComposeLease(engine, prefix, clock=clock)
        self._switch = Switch(engine, prefix, run_id)
        self._starter = Starter(engine, clock, deadline=start_deadline, restart_budget=restart_budget)

    # -- names and files -----------------------------------------------------------------------------------
    def project(self, part: str | int) -> str:
        return f"{self.prefix}-r{part}" if isinstance(part, int) else f"{self.prefix}-{part}"

    def _files(self, placed: Placed) -> Path:
        """Write the bundle where compose can read it; the same bundle gives the same folder."""
        folder = self.work / f"r{placed.placement.seq}"
        for name, text in placed.bundle.files.items():
            path = folder / name
            if not path.is_file() or path.read_text() != text:
                write_atomic(path, text.encode())
        return folder

    def _document(self, placed: Placed, part: str) -> dict[str, Any]:
        document: dict[str, Any] = read_yaml(placed.bundle.files[f"{part}/compose.yaml"])
        return document

    def _compose(
        self,
        placed: Placed,
        part: str,
        *args: str,
        what: str,
        deadline: float,
        watch: Callable[[], None] | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
    ) -> Completed:
        folder = self._files(placed)
        project = self.project(placed.placement.seq if part == "release" else part)
        argv = self.engine.compose(project, [folder / part / "compose.yaml"], *args)
        return self.engine.run(
            argv, what=what, deadline=deadline, watch=watch, on_line=on_line, check=check, cwd=folder
        )

    # -- looking -------------------------------------------------------------------------------------------
    def capabilities(self) -> dict[str, str]:
        return {}

    def preflight(self, placed: Placed) -> list[str]:
        self.engine.check_version()
        return self.lock_findings(placed.lock)

    def lock_findings(self, lock: ImageLock) -> list[str]:
        out = []
        for name, ref in lock.images.items():
            if ref.engine_id and ref.engine_id != self.engine.id:
                out.append(
                    f"{name}: its image is only in engine {ref.engine_id}, this is {self.engine.id}; build here"
                )
            elif not ref.repository and not has_image(self.engine, ref.reference()):
                out.append(f"{name}: image {ref.reference()} is not in the engine any more; build again")
        return out

    def live(self) -> Live:
        return self._switch.live()

    def drift(self, placed: Placed, serves: int) -> list[Change]:
        seen = look(self.engine, self.prefix)
        changes: list[Change] = []
        for part in ("stores", "edge", "release"):
            project = self.project(serves if part == "release" else part)
            want = expected(project, self._document(placed, part))
            changes += self._compare(want, [s for s in seen if s.project == project])
        return changes

    def difference(self, placed: Placed) -> str:
        return ""

    def _compare(self, want: list[Expected], have: list[Seen]) -> list[Change]:
        changes: list[Change] = []
        keys = {w.service for w in want}
        for stray in (s for s in have if s.service not in keys and s.labels.get(LABEL + "role") != "job"):
            changes.append(Change(object=stray.name, field="container", expected="absent", found=stray.status))
        for w in want:
            mine = [s for s in have if s.service == w.service]
            if len(mine) != w.replicas:
                changes.append(Change(object=w.service, field="replicas", expected=w.replicas, found=len(mine)))
            for s in mine:
                if not s.ready():
                    state = f"{s.status} {s.health}".strip()
                    changes.append(Change(object=s.name, field="state", expected="running and healthy", found=state))
                changes += compare(s.name, w.fields, s.fields, image_env(self.engine, s.image_id))
        return changes

    def present(self, seq: int) -> bool:
        mine = [
            s for s in look(self.engine, self.prefix, release=f"r{seq}") if s.labels.get(LABEL + "role") == "service"
        ]
        return bool(mine) and all(s.ready() for s in mine)

    def releases(self) -> list[int]:
        """Also one of which only a network is left: its removal was cut short after the containers."""
        found = {s.labels.get(LABEL + "release", "") for s in look(self.engine, self.prefix)}
        for row in self.engine.guard(self.engine.client.api.networks, filters={"name": f"{self.prefix}-r"}):
            project = (row.get("Labels") or {}).get("com.docker.compose.project", "")
            found.add(project.removeprefix(f"{self.prefix}-"))
        return sorted({int(match[1]) for one in found if (match := _RELEASE.match(one))})

    def endpoints(self) -> dict[str, str]:
        edge = self._switch.edge()
        if edge is None:
            return {}
        names = (edge.labels.get(LABEL + "routes") or "").split(",")
        routes = dict(item.split("=", 1) for item in names if "=" in item)  # service=listener port
        out = {}
        for service, listener in routes.items():
            for port in edge.fields.ports:
                binding, _, target = port.partition("->")
                if target.split("/")[0] == listener:
                    address, _, published = binding.rpartition(":")
                    host = "127.0.0.1" if address in ("", "0.0.0.0", "::") else address
                    out[service] = f"http://{host}:{published}"
        return out

    # -- changing ------------------------------------------------------------------------------------------
    def deliver_secrets(self, placed: Placed, values: dict[str, dict[str, Secret]]) -> None:
        """`values` maps volume name → file name → value; the documents say who owns each volume."""
        owners = self._volume_owners(placed)
        volumes = [
            VolumeFiles(volume, owners.get(volume, 0), {n: s.reveal() for n, s in files.items()})
            for volume, files in sorted(values.items())
        ]
        self._fill(placed, [*volumes, *self._configuration(placed, owners)])

    def _configuration(self, placed: Placed, owners: dict[str, int]) -> list[VolumeFiles]:
        """The proxy's configuration goes the same way: a read-only root takes no `configs` from Compose."""
        volume = self._document(placed, "edge")["volumes"]["config"]["name"]
        files = {"haproxy.cfg": placed.bundle.files["edge/haproxy.cfg"].encode()}
        return [VolumeFiles(volume, owners.get(volume, 0), files)]

    def _volume_owners(self, placed: Placed) -> dict[str, int]:
        """Volume name → numeric uid of the service that mounts it."""
        owners: dict[str, int] = {}
        for part in ("stores", "edge", "release"):
            document = self._document(placed, part)
            names = {k: (v or {}).get("name", k) for k, v in (document.get("volumes") or {}).items()}
            for service in (document.get("services") or {}).values():
                uid = str(service.get("user") or (service.get("labels") or {}).get(LABEL + "uid") or "0").split(":")[
                    0
                ]
                for mount in service.get("volumes") or []:
                    source = mount.split(":")[0] if isinstance(mount, str) else mount.get("source", "")
                    if source in names:
                        owners[names[source]] = int(uid)
        return owners

    def _fill(self, placed: Placed, volumes: list[VolumeFiles]) -> None:
        if not volumes:
            return
        labels = {LABEL + "project": self.prefix}
        api = self.engine.client.api
        for volume in volumes:
            self.engine.guard(api.create_volume, volume.volume, labels={**labels, **volume.labels})
        tags = {**labels, LABEL + "role": "helper", LABEL + "run": self.run_id}
        image = placed.lock.images["edge"].reference()
        name = f"{self.prefix}-helper-{self.run_id[:12] or 'manual'}"
        unpack(self.engine, image, volumes, tags, name)

    def prepare(self, placed: Placed, repair: Sequence[Change] = ()) -> None:
        self._pull(placed)
        parts = [part for part in ("stores", "edge") if self._document(placed, part)["services"]]
        at_once([functools.partial(self._prepare, placed, part, repair) for part in parts])

    def _prepare(self, placed: Placed, part: str, repair: Sequence[Change]) -> None:
        seen = look_at_project(self.engine, self.project(part))
        drifted = {s.service for s in seen if any(change.object == s.name for change in repair)}
        for name in (s.name for s in seen if s.status == "paused"):
            self.engine.guard(self.engine.client.api.unpause, name)
        if part == "stores":
            self._own_data(placed)
        if drifted:
            self._up(placed, part, "--force-recreate", "--no-deps", *sorted(drifted))
        self._up(placed, part)

    def restore(self, before: Placed, tried: Placed) -> None:
        def shared(placed: Placed) -> dict[str, str]:
            files = placed.bundle.files.items()
            return {name: text for name, text in files if name.startswith(("stores/", "edge/"))}

        if shared(before) != shared(tried):
            self.prepare(before)

    def _own_data(self, placed: Placed) -> None:
        """Make the stores' data folders belong to the users that the stores run as (empty volumes are root's)."""
        self._compose(placed, "stores", "create", "--no-recreate", what="creating the stores", deadline=120)
        owners = {v: uid for v, uid in self._volume_owners(placed).items() if v.endswith("-data") and uid}
        running = {
            m.split(":")[1]
            for s in look(self.engine, self.prefix, role="store")
            if s.status == "running"
            for m in s.fields.mounts
        }
        fresh = [VolumeFiles(v, uid, root_mode=0o700) for v, uid in sorted(owners.items()) if v not in running]
        self._fill(placed, fresh)

    def _pull(self, placed: Placed) -> None:
        away = {n: r.reference() for n, r in placed.lock.images.items() if r.repository}
        missing = {name: reference for name, reference in away.items() if not has_image(self.engine, reference)}
        if not missing:
            return
        with registry.logged_in(self.engine):
            for name, reference in missing.items():
                with self.progress.step(f"pulling {name}"):
                    engine_images.pull(self.engine, reference)

    def step_aside(self, before: Placed, candidate: Placed) -> None:
        self._stop(before, self._alone(before, candidate))

    def step_back(self, before: Placed, candidate: Placed) -> None:
        alone = self._alone(before, candidate)
        if alone:
            self._stop(candidate, alone)
            self._up(before, "release")

    def _alone(self, *releases: Placed) -> set[str]:
        """Services which either rendering says must not run twice."""
        documents = [self._document(one, "release")["services"] for one in releases]
        labels = [service.get("labels") or {} for services in documents for service in services.values()]
        return {one[LABEL + "service"] for one in labels if one.get(LABEL + "handover") == "stop_start"}

    def _stop(self, placed: Placed, services: set[str]) -> None:
        """Those that the release has, with the time to end that their rendering gives them."""
        seen = look(self.engine, self.prefix, release=f"r{placed.placement.seq}", role="service")
        keys = sorted({s.service for s in seen if s.labels.get(LABEL + "service") in services})
        if keys:
            self._compose(placed, "release", "stop", *keys, what=f"stopping {', '.join(keys)}", deadline=120)

    def apply(self, placed: Placed) -> None:
        self._up(placed, "release")

    def _up(self, placed: Placed, part: str, *extra: str) -> None:
        project = self.project(placed.placement.seq if part == "release" else part)
        self._starter.up(project, functools.partial(self._compose, placed, part), *extra)

    def run_job(
        self, placed: Placed, job: str, *, deadline: float, on_line: Callable[[str], None] | None = None
    ) -> JobResult:
        seq = placed.placement.seq
        name = f"{self.project(seq)}-{job}"
        began = self.clock.monotonic()
        remove_container(self.engine, name)
        lines: list[str] = []

        def take(line: str) -> None:
            lines.append(line)
            if on_line is not None:
                on_line(line)

        try:
            done = self._compose(
                placed,
                "release",
                *(
                    "run",
                    "--quiet",
                    "--rm",
                    "--no-deps",
                    "-T",
                    "--name",
                    name,
                    "--label",
                    f"{LABEL}run={self.run_id}",
                ),
                f"{job}-r{seq}",
                what=job,
                deadline=deadline,
                on_line=take,
                check=False,
            )
        except OpsError as error:
            return JobResult(
                code=None, output="\n".join(lines), seconds=self.clock.monotonic() - began, cause=str(error)
            )
        finally:
            remove_container(self.engine, name)
        return JobResult(code=done.code, output="\n".join(lines), seconds=done.seconds)

    # -- the switch ----------------------------------------------------------------------------------------
    def offer(self, placed: Placed) -> None:
        """Open the candidate's entrance to this release; live traffic stays where it is."""
        self._switch.set("-", "-", placed.placement.slot)

    def switch(self, placed: Placed) -> None:
        slot, release = placed.placement.slot, f"r{placed.placement.seq}"
        now = self._switch.set(slot, release, "none")
        if (now.slot, now.release) != (slot, release):
            raise OpsError(
                f"the proxy of {self.prefix} did not take the switch to {release}: it says {now.release!r}"
            )

    def close(self) -> None:
        self._switch.set("none", "none", "none")

    def retract_candidate(self) -> None:
        now = self.live()
        if now.candidate not in ("", "none"):
            self._switch.set(now.slot or "none", now.release or "none", "none")

    # -- removing ------------------------------------------------------------------------------------------
    def remove(self, seq: int) -> Pruned:
        """Containers, networks and secret volumes of one release; never a data volume."""
        project = self.project(seq)
        removed: list[str] = []
        problems: list[str] = []
        done = self.engine.run(
            self.engine.argv("compose", "-p", project, "down", "--remove-orphans", "--timeout", "12"),
            what=f"removing {project}",
            deadline=120,
            check=False,
        )
        if done.code:
            problems += done.tail(3)
        for seen in look(self.engine, self.prefix, release=f"r{seq}"):
            remove_container(self.engine, seen.id)
        removed.append(project)
        shutil.rmtree(self.work / f"r{seq}", ignore_errors=True)
        return Pruned(removed=tuple(removed), problems=tuple(problems))

    def remove_volumes(self, keep: set[str]) -> Pruned:
        """Secret volumes of ours that no retained release mounts; data volumes are never considered."""
        api = self.engine.client.api
        rows = self.engine.guard(api.volumes, filters={"label": [f"{LABEL}project={self.prefix}"]}) or {}
        removed, problems = [], []
        for row in rows.get("Volumes") or []:
            name = row["Name"]
            if "-secrets-" not in name or name in keep:
                continue
            try:
                self.engine.guard(api.remove_volume, name)
                removed.append(f"volume {name}")
            except OpsError as error:
                if "in use" not in error.message:
                    problems.append(error.message)
        return Pruned(removed=tuple(removed), problems=tuple(problems))

    def reap(self, alive: str) -> Pruned:
        removed = []
        for seen in (*look(self.engine, self.prefix, role="job"), *look(self.engine, self.prefix, role="helper")):
            # Helpers of no run only look, and those of a backup's task are that task's own.
            if seen.labels.get(LABEL + "run", alive) != alive and LABEL + "task" not in seen.labels:
                remove_container(self.engine, seen.id)
                removed.append(f"container {seen.name}")
        return Pruned(removed=tuple(removed))

    # -- logs ----------------------------------------------------------------------------------------------
    def logs(self, seq: int, lines: int = 25) -> dict[str, list[str]]:
        seen = [
            s for s in look_at_project(self.engine, self.project(seq)) if s.labels.get(LABEL + "role") == "service"
        ]
        return {s.name: last_lines(self.engine, s.id, lines) for s in sorted(seen, key=lambda s: s.ready())}
