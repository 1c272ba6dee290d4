"""Layers are judged while the build that makes them goes on: it is busy with other images and with tests.

Two ways, by what the engine's image store can do. Whatever fails here is left to `policy.judge_images`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress

from cortex_ops.adapters import engine_images
from cortex_ops.adapters.engine import Engine
from cortex_ops.images.layers import Layouts
from cortex_ops.images.policy import read_images, read_layers, unread
from cortex_ops.kernel.errors import InterruptedByUser
from cortex_ops.kernel.process import end_all_until
from cortex_ops.kernel.store import Store


@contextmanager
def reading_layouts(store: Store, layouts: Layouts) -> Iterator[None]:
    """As the build in this block writes them."""
    ended = threading.Event()

    def read() -> None:
        with suppress(Exception):  # in a thread of its own it would be a trace on the console
            while not ended.wait(0.2):
                read_layers(store, layouts)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
    thread.join()


@contextmanager
def reading_ahead(engine: Engine, store: Store, tags: Collection[str]) -> Iterator[Callable[[str], None]]:
    """As soon as the engine has all images, which takes seconds to hand them out. The block is given what to tell
    each tag to."""
    missing = set(tags)

    def read() -> None:
        with suppress(Exception):  # in a thread of its own it would be a trace on the console
            found = [str(one["Id"]) for one in engine_images.inspect(engine, sorted(tags)).values()]
            read_images(engine, store, unread(store, found))

    thread = threading.Thread(target=read, daemon=True)

    def named(tag: str) -> None:
        if tag in missing:
            missing.discard(tag)
            if not missing:
                thread.start()

    try:
        yield named
    except BaseException as error:
        if isinstance(error, InterruptedByUser) or not isinstance(error, Exception):
            end_all_until(lambda: not thread.is_alive())
        raise
    finally:
        if thread.ident is not None:
            thread.join()
