"""Stand-in steps for tests of the Dagster layer: the pipeline's functions, without a store, an engine or a build.

`Script` says how they end; what was called is written to a file, because runs may be other processes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cortex_ops.backup import BackupResult, DrillResult
from cortex_ops.backup import SourceResult as BackupPart
from cortex_ops.kernel.canonical import sha256
from cortex_ops.kernel.errors import InputError, OpsError, OwnTestsFailed
from cortex_ops.kernel.values import ImageLock, Placement, TestCase, Verdict
from cortex_ops.release.records import Intent, Outcome, Record
from cortex_ops.results import (
    BuildStep,
    HealthFinding,
    HealthStep,
    ImageResult,
    ReleaseStep,
    Rendering,
    RenderStep,
    RolloutStep,
    SourceResult,
    UpkeepStep,
)
from cortex_ops.wiring import Wiring

WHEN = "2026-01-02T03:04:05.000Z"


def record(env: str = "local", seq: int = 1, *, run: str = "elsewhere", state: str = "promoted") -> Record:
    """A release as the history has it; `state` empty: it has no outcome yet."""
    intent = Intent(
        environment=env, seq=seq, kind="release", run_id=run, actor="ci", started_at=WHEN, revision="abc123",
        dirty=False, identity="sha256:1", placement=Placement(seq=seq, slot="a"), previous=seq - 1,
        lock=ImageLock(source_revision="abc123", source_dirty=False, images={}), secret_versions={},
    )  # fmt: skip
    outcome = (
        Outcome(state=state, serves=seq, finished_at=WHEN, seconds=4.5, timings={"apply": 2.0}) if state else None
    )
    return Record(intent=intent, outcome=outcome, verdict=Verdict(passed=state == "promoted"))


class StandInSteps:
    """`folder` holds `script.json` (what to do) and `calls` (one `step environment` a line).

    Script: `fail` step → sentence, `defect` step → text of a bare exception, `hang` a list of
    steps, `findings` (preflight or policy), `policy` (of the images), `verdict` (a cause), `noop`,
    `slow_interrupt` (seconds).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def script(self, **changes: Any) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "script.json").write_text(json.dumps(changes))
        (self.folder / "calls").unlink(missing_ok=True)

    def read(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / "script.json").read_text()))
        except FileNotFoundError:
            return {}

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.is_file() else []

    def _step(self, name: str, env: str = "") -> dict[str, Any]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "calls").open("a") as stream:
            stream.write(f"{name} {env}".strip() + "\n")
        script = self.read()
        if name in script.get("hang", []):
            time.sleep(120)
        if name in script.get("defect", {}):
            raise KeyError(script["defect"][name])
        if name in script.get("fail", {}):
            raise OpsError(script["fail"][name], details=["a detail"], remedy="a remedy")
        return script

    def check_environment(self, w: Wiring, env: str) -> None:
        known = [name for name, spec in w.stack.environments.items() if spec.mode == "production"]
        if env not in known:
            raise InputError(f"there is no environment {env!r}; the stack file has {', '.join(known)}")

    def source(self, w: Wiring) -> SourceResult:
        self._step("source")
        return SourceResult(
            revision="abc123", dirty=True, dirty_files=("a.txt",), fingerprints={"api": "f"}, seconds=0.1
        )

    def build(self, w: Wiring, env: str | None = None, from_ref: str = "") -> BuildStep:
        script = self._step("build", " ".join(filter(None, [env, from_ref])))
        if broken := script.get("own_tests"):
            raise OwnTestsFailed(f"the tests of image {broken} failed", image=broken, details=["expected 2, got 3"])
        names = [*w.stack.services, *(["integration-tests"] if w.stack.tests else []), "edge", *w.stack.stores]
        images = tuple(
            ImageResult(
                name=name,
                reference=f"registry/{name}@sha256:{sha256(name.encode())}",
                fingerprint="" if name in w.stack.stores else sha256(name.encode()),
                built=not script.get("noop"),
                size=123_456_789,
                seconds=1.5,
                findings=tuple(script.get("policy", {}).get(name, ())),
            )
            for name in sorted(names)
        )
        lock = ImageLock(source_revision="abc123", source_dirty=False, images={})
        return BuildStep(lock=lock, images=images, seconds=1.5, promoted_from="staging@3" if from_ref else "")

    def render(self, w: Wiring, env: str) -> RenderStep:
        script = self._step("render", env)
        target = w.stack.environments[env].target
        diff = "_no difference from what is live_" if script.get("noop") else "```diff\n-a\n+b\n```"
        findings = {name: tuple(said) for name, said in script.get("findings", {}).items() if name != "preflight"}
        kinds = [target] if target == "compose" else [target, "monitoring"]
        renderings = {kind: Rendering(files={f"{kind}.yaml": "name: x\n"}, findings=findings) for kind in kinds}
        return RenderStep(target=target, renderings=renderings, identity="sha256:1", diff=diff, seconds=0.2)

    def preflight(self, w: Wiring, env: str) -> list[str]:
        return list(self._step("preflight", env).get("findings", {}).get("preflight", ()))

    def rollout(self, w: Wiring, env: str) -> RolloutStep:
        script = self._step("rollout", env)
        services = {name: "candidate is ready" for name in w.stack.services}
        return RolloutStep(
            noop=bool(script.get("noop")), seq=7, serves=7, services=services, timings={"apply": 2.5}, seconds=3
        )

    def integration_tests(self, w: Wiring, env: str) -> Verdict:
        script = self._step("integration_tests", env)
        cause = script.get("verdict", "")
        case = TestCase(suite="s", name="the api answers", outcome="failed" if cause else "passed", seconds=0.5,
                        message=cause)  # fmt: skip
        finished = WHEN if script.get("noop") else "2999-01-01T00:00:00.000Z"
        return Verdict(passed=not cause, cause=cause, cases=(case,), seconds=1.25, finished_at=finished,
                       logs={"api": ["last line"]} if cause else {})  # fmt: skip

    def release(self, w: Wiring, env: str) -> ReleaseStep:
        script = self._step("release", env)
        cause = script.get("verdict", "")
        return self._ended(env, cause, noop=bool(script.get("noop")))

    def rollback(self, w: Wiring, env: str, to: int = 0) -> ReleaseStep:
        script = self._step("rollback", f"{env} {to}")
        return self._ended(env, script.get("verdict", ""), noop=False)

    def _ended(self, env: str, cause: str, *, noop: bool) -> ReleaseStep:
        one = record(env, 7, state="rolled_back" if cause else "promoted")
        assert one.outcome is not None
        outcome = one.outcome.model_copy(update={"cause": cause})
        message = f"{env}: r7 was rolled back: {cause}" if cause else f"{env}: r7 is live, tested and recorded"
        return ReleaseStep(ok=not cause, noop=noop, record=one, outcome=outcome, verdict=one.verdict,
                           endpoints={"api": "http://127.0.0.1:8080"}, message=message)  # fmt: skip

    def settle(self, w: Wiring, env: str) -> list[Record]:
        self._step("settle", env)
        return []

    def interrupt(self, w: Wiring, env: str) -> None:
        script = self._step("interrupt", env)
        if pause := script.get("slow_interrupt"):
            time.sleep(pause)
            self._step("interrupted", env)

    def health(self, w: Wiring, env: str) -> HealthStep:
        script = self._step("health", env)
        sick = script.get("sick", "")
        finding = HealthFinding(
            object="api", ok=not sick, message=sick or "it answers", remedy="look" if sick else ""
        )
        drift = tuple(script.get("drift", ()))
        return HealthStep(healthy=not sick, drift=drift, findings=(finding,), live="r7", seconds=0.1)

    def upkeep(self, w: Wiring, env: str) -> UpkeepStep:
        script = self._step("upkeep", env)
        return UpkeepStep(removed=("r5: its bake is over",), problems=tuple(script.get("problems", ())))

    def backup(self, w: Wiring, env: str) -> BackupResult:
        self._step("backup", env)
        part = BackupPart(store="postgres", kind="postgres", version="15.4", tables=2, rows=30, plain_bytes=900,
                          stored_bytes=300, sha256="ab" * 32, seconds=1.0, steps={"dump": 0.5})  # fmt: skip
        return BackupResult(
            environment=env, set_id="20260102T030405Z-x", key="backups/x", data_time=WHEN, finished_at=WHEN,
            release=7, parts=(part,), plain_bytes=900, stored_bytes=300, ratio=3.0, throughput=1800.0, rows=30,
            signer="key",
            recipients=("age1x",), seconds=1.5, timings={}, removed={"old": "older than its rule"},
        )  # fmt: skip

    def drill(self, w: Wiring, env: str, set_id: str | None = None) -> DrillResult:
        self._step("drill", " ".join(filter(None, [env, set_id])))
        return DrillResult(
            environment=env, set_id=set_id or "20260102T030405Z-x", proof="p", data_time=WHEN, age_seconds=60.0,
            recovery_seconds=2.5, seconds=4.0, steps={"postgres: restore": 1.0}, plain_bytes=900, stored_bytes=300,
            throughput=360.0, tables=2, rows=30, image="postgres@sha256:1",
        )  # fmt: skip
