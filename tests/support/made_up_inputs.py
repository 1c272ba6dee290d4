"""What a rendering is a function of, with images that nobody built."""

from __future__ import annotations

from collections.abc import Callable

from cortex_ops.kernel.values import ImageLock, ImageRef
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.secrets.delivery import consumers
from cortex_ops.stack.environments import resolve
from cortex_ops.stack.schema import Stack


def made_up(
    stack: Stack, image: Callable[[str], ImageRef], capabilities: dict[str, str] | None = None
) -> RenderInputs:
    """Of the environment `local`; `image` says what each image's name stands for."""
    names = [*stack.services, *stack.stores, "edge", "integration-tests"]
    return RenderInputs(
        stack=stack,
        environment=resolve(stack, "local"),
        lock=ImageLock(source_revision="r", source_dirty=False, images={name: image(name) for name in names}),
        secret_versions=dict.fromkeys(consumers(stack), "0123456789ab"),
        capabilities=capabilities or {},
    )
