"""`docker buildx bake`: its command line and its metadata. What it prints is read by `build_log`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortex_ops.adapters.build_log import BuildLog
from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.progress import Progress


@dataclass(frozen=True)
class Baked:
    """`metadata` of bake by target; `seconds` that each image's own steps took (cached ones: 0)."""

    metadata: dict[str, dict[str, Any]]
    seconds: dict[str, float]


def bake(
    engine: Engine,
    document: dict[str, Any],
    images: dict[str, str],
    folder: Path,
    *,
    progress: Progress,
    on_named: Callable[[str], None] = lambda _tag: None,
    deadline: float = 1800.0,
) -> Baked:
    """Build all targets of the document in one go, in `folder`, its relative paths too. `images` maps targets to
    image names; `on_named` is told each tag as soon as its image is in the engine, while others are still built.
    Raises `OpsError`."""
    targets = document["target"]
    files = {images[name]: one["dockerfile"] for name, one in targets.items() if "dockerfile" in one}
    log = BuildLog(progress, images, files, on_named)
    file, metadata = folder / "bake.json", folder / "metadata.json"
    file.write_text(json.dumps(document))
    argv, env = bake_argv(engine, file, metadata), bake_env(engine)
    try:
        engine.run(argv, what="building the images", deadline=deadline, on_line=log.line, cwd=folder, env=env)
    except DeadlineError:
        raise
    except OpsError as error:
        raise log.explain(error) from error
    data = json.loads(metadata.read_text())
    return Baked({name: value for name, value in data.items() if isinstance(value, dict)}, log.seconds)


def bake_argv(engine: Engine, file: Path, metadata: Path) -> list[str]:
    return engine.argv(
        *("buildx", "bake", "--progress", "plain", "--file", str(file), "--metadata-file", str(metadata))
    )


def bake_env(engine: Engine) -> dict[str, str]:
    """The engine's own builder, whatever a person has selected: what is built must be in the engine. Bake's question
    whether it may read outside its folder is answered here (a flag would stop older versions)."""
    context = "default"
    if not engine.settings.docker_host:
        done = engine.run(engine.argv("context", "show"), what="docker context", deadline=30, check=False)
        context = done.stdout.strip() or context
    return {
        "BUILDX_BUILDER": context,
        "BUILDX_BAKE_ENTITLEMENTS_FS": "0",
        "BUILDX_METADATA_PROVENANCE": "disabled",
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }
