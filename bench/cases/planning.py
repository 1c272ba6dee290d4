"""Loading, checking, rendering and planning a large system: CPU seconds, and how they grow with its size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.harness import Case, Trial, timed
from bench.systems import many_services
from cortex_ops.kernel.values import ImageRef, Placement
from cortex_ops.render.compose import render_compose
from cortex_ops.render.yaml_output import read_yaml
from cortex_ops.stack.load import load_stack_text
from cortex_ops.targets.compose.expected import expected
from tests.support.made_up_inputs import made_up

SIZES = (50, 100, 200, 400, 800)
TIMES = 5


def plan(text: str) -> int:
    """From the text of a stack file to every field that each container must have; returns how many there are."""
    stack = load_stack_text(text, Path("stack.yaml"))
    inputs = made_up(
        stack, lambda n: ImageRef(fingerprint=n, image_id=f"sha256:{n}", engine_id="e", user="1000:1000")
    )
    files = render_compose(inputs, Placement(seq=1, slot="a")).files
    documents = [read_yaml(t) for name, t in files.items() if name.endswith("/compose.yaml")]
    return sum(len(expected("many-r1", document)) for document in documents)


def slope(say: Callable[[str], None]) -> tuple[bool, dict[str, Any]]:
    """Least squares of log CPU seconds over log services; the best of some runs each, so that pauses do not count."""
    seconds = {}
    for size in SIZES:
        text = many_services(size)
        seconds[size] = min(timed(lambda text=text: plan(text)).cpu for _ in range(TIMES))  # type: ignore[misc]
        say(f"  {size} services: {seconds[size]:.3f} CPU s")
    x, y = [math.log(n) for n in seconds], [math.log(s) for s in seconds.values()]
    found = statistics.linear_regression(x, y).slope
    return found <= 1.1, {"slope": found, "cpu_seconds": {str(n): round(s, 4) for n, s in seconds.items()}}


def warm_up() -> None:
    plan(many_services(10))  # imports are not part of planning


def cases() -> list[Case | Trial]:
    text = many_services(200)
    return [
        Case("200 services planned", "alone", 1.0, lambda: plan(text), cpu=True, prepare=warm_up),
        Trial("growth from 50 to 800 services", "log-log slope ≤ 1.1", slope),
    ]
