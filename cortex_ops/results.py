"""One serialisable result per operation: used by metadata, the command line, the store and tests alike."""

from __future__ import annotations

from cortex_ops.kernel.values import Bundle, Change, ImageLock, Value, Verdict
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


class RenderStep(Value):
    """`diff` is markdown against what is live; `findings` are policy sentences that block."""

    bundle: Bundle
    identity: str
    diff: str
    findings: tuple[str, ...] = ()
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
