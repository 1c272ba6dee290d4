"""One-shot containers of ours through the engine's API: made for a block, gone after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import OpsError


@contextmanager
def helper(
    engine: Engine, name: str, image: str, command: list[str], labels: Mapping[str, str], *, what: str, **options: Any
) -> Iterator[str]:
    """The id of a container that was made and not started, without a network; one that an ended run left under this
    name goes first. `options` are of the SDK's host configuration, and `entrypoint`."""
    from docker.errors import NotFound

    api = engine.client.api
    entrypoint = options.pop("entrypoint", None)
    remove_container(engine, name)
    try:
        made = engine.guard(
            api.create_container,
            image,
            command,
            entrypoint=entrypoint,
            name=name,
            labels=dict(labels),
            host_config=api.create_host_config(network_mode="none", **options),
        )
        try:
            yield str(made["Id"])
        finally:
            remove_container(engine, made["Id"])
    except NotFound as error:
        raise OpsError(f"{what} failed: {error.explanation}") from error


def remove_container(engine: Engine, name: str) -> None:
    """By name or id, whatever it does; one that is gone or goes already is no error."""
    from docker.errors import NotFound

    try:
        engine.guard(engine.client.api.remove_container, name, force=True, v=False)
    except NotFound:
        return
    except OpsError as error:
        if "already in progress" not in error.message:
            raise
