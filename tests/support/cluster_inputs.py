"""The sample, changed, as what a rendering for a cluster is a function of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from cortex_ops.kernel.values import ImageRef
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.stack.load import load_stack_text
from tests.support.made_up_inputs import made_up

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
    given = {"repository": "registry.test/cortex", "digest": "sha256:" + "a" * 64, "user": "1000:1000"} | (
        images or {}
    )
    return made_up(stack, lambda name: ImageRef(fingerprint=f"{name}-fingerprint", **given), capabilities)
