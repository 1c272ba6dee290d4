"""Value types that several domains hand to each other. Frozen, serialisable, no behaviour beyond identity.

Each has `to_json` / `from_json` through pydantic; hashes are of canonical JSON.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from cortex_ops.kernel.canonical import canonical, digest_of


class Value(BaseModel):
    """Base of all values: immutable, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: bytes | str) -> Self:
        return cls.model_validate_json(data)

    def content_hash(self) -> str:
        """`sha256:…` of the canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


class ImageRef(Value):
    """What one image is, by content.

    Either `registry` names a repository and `digest` its index (with `platforms` → manifest digests), or
    `engine_id` names the engine that holds image `image_id`; another engine refuses it.
    """

    fingerprint: str
    image_id: str = ""
    engine_id: str = ""
    repository: str = ""
    digest: str = ""
    platforms: dict[str, str] = {}
    size: int = 0
    user: str = ""

    def reference(self) -> str:
        """What a compose file or a manifest writes: `repo@sha256:…`, or the bare image id."""
        return f"{self.repository}@{self.digest}" if self.repository else self.image_id


class ImageLock(Value):
    """Which content each service (and the tests, the proxy …) runs. `source` is the revision built from."""

    source_revision: str
    source_dirty: bool
    images: dict[str, ImageRef]


class Bundle(Value):
    """The files of one rendering: path → text. `target` is `compose` or `kubernetes`."""

    target: str
    environment: str
    files: dict[str, str]


class TestCase(Value):
    """One executed test. `seconds` is its own time."""

    __test__ = False

    suite: str
    name: str
    outcome: Literal["passed", "failed", "skipped"]
    seconds: float = 0.0
    message: str = ""


class Verdict(Value):
    """The judgement of a test run. `passed` is true only when tests ran, none failed and nothing else broke.

    `cause` is empty exactly when it passed; `infrastructure` says that the run itself broke.
    """

    passed: bool
    cause: str = ""
    infrastructure: bool = False
    cases: tuple[TestCase, ...] = ()
    seconds: float = 0.0
    logs: dict[str, list[str]] = {}
    subject: str = ""
    finished_at: str = ""


class Change(Value):
    """One difference between what should be and what is, in words a person reads."""

    object: str
    field: str
    expected: Any = None
    found: Any = None

    def line(self) -> str:
        return f"{self.object}: {self.field}: expected {self.expected!r}, found {self.found!r}"


class Placement(Value):
    """Which sequence and which of the proxy's two slots a rendering is for."""

    seq: int
    slot: Literal["a", "b"]


class Placed(Value):
    """Everything needed to bring a release (back) up: its files at their placement."""

    placement: Placement
    bundle: Bundle
    lock: ImageLock
    secret_versions: dict[str, str]
    identity: str
