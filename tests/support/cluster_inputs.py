"""The sample, changed, as what a rendering for a cluster is a function of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cortex_ops.kernel.values import ImageLock, ImageRef
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.secrets.delivery import consumers
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.load import load_stack_text

FILE = Path(__file__).resolve().parents[2] / "deploy" / "stack.yaml"
Document = dict[str, Any]
Change = Callable[[Document], Any]


def hosted(document: Document) -> None:
    document["environments"]["local"]["kubernetes"] = {"host_address": "192.0.2.7"}


def inputs(
    *changes: Change, images: dict[str, Any] | None = None, capabilities: dict[str, str] | None = None
) -> RenderInputs:
    document = yaml.safe_load(FILE.read_text())
    for change in (hosted, *changes):
        change(document)
    stack = load_stack_text(json.dumps(document), FILE)
    names = [*stack.services, *stack.stores, "edge", "integration-tests"]
    given = {"repository": "registry.test/cortex", "digest": "sha256:" + "a" * 64, "user": "1000:1000"} | (
        images or {}
    )
    lock = ImageLock(
        source_revision="r",
        source_dirty=False,
        images={n: ImageRef(fingerprint=f"{n}-fingerprint", **given) for n in names},
    )
    return RenderInputs(
        stack=stack,
        environment=resolve(stack, "local"),
        lock=lock,
        secret_versions=dict.fromkeys(consumers(stack), "0123456789ab"),
        capabilities=capabilities or {},
    )
