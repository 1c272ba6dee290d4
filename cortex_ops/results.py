"""One serialisable result per operation: used by metadata, the command line, the store and tests alike."""

from __future__ import annotations

from cortex_ops.kernel.values import Change, ImageLock, Value, Verdict
from cortex_ops.release.records import Outcome, Record


class SourceResult(Value):
    """The monorepo as it is now. `fingerprints` maps image name → sha256 hex."""

    revision: str
    dirty: bool
    dirty_files: tuple[str, ...] = ()
    fingerprints: dict[str, str] = {}
    seconds: float = 0.0


class ImageResult(Value):
    """One image. `built` is false on a hit; `findings` are policy sentences (empty: clean)."""

    name: str
    reference: str
    fingerprint: str
    built: bool
    size: int
    seconds: float
    findings: tuple[str, ...] = ()


class BuildStep(Value):
    lock: ImageLock
    images: tuple[ImageResult, ...]
    seconds: float
    promoted_from: str = ""


class Rendering(Value):
    """Files of one kind, path → text. `findings` maps each check on them → the sentences that block."""

    files: dict[str, str]
    findings: dict[str, tuple[str, ...]]


class RenderStep(Value):
    """`target` is the kind that the environment runs; `renderings` maps `compose`, `kubernetes` or `monitoring` →
    what was rendered of it. `diff` is markdown against what is live."""

    target: str
    renderings: dict[str, Rendering]
    identity: str
    diff: str
    seconds: float = 0.0


class RolloutStep(Value):
    """`noop`: the live release already is exactly this. `services` maps name → state sentence."""

    noop: bool
    seq: int
    serves: int
    services: dict[str, str] = {}
    repaired: tuple[Change, ...] = ()
    timings: dict[str, float] = {}
    seconds: float = 0.0


class ReleaseStep(Value):
    """The end of a release job. `ok` is true only when it is live, tested and recorded."""

    ok: bool
    noop: bool
    record: Record
    outcome: Outcome
    verdict: Verdict | None = None
    endpoints: dict[str, str] = {}
    message: str = ""


class HealthFinding(Value):
    """One judgement from outside. `object` names it, `remedy` says what to type."""

    object: str
    ok: bool
    message: str
    remedy: str = ""
    seconds: float = 0.0


class HealthStep(Value):
    """`drift`: what differs from the rendering, one line each; None where nothing could be compared."""

    healthy: bool
    drift: tuple[str, ...] | None = None
    findings: tuple[HealthFinding, ...]
    live: str = ""
    seconds: float = 0.0


class UpkeepStep(Value):
    """Old releases, images, leftovers and event logs that were removed, with reasons."""

    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
