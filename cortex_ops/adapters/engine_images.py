"""Images in the engine, through the docker CLI: what is there, tags, the stream of a saved image.

No SDK: its import alone costs more than a build that changes nothing may, and the CLI reaches an engine by any
context, ssh or TLS that it is set up for. Listing all images takes a second on a containerd store, so images are
asked for by name where the names are known.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from cortex_ops.adapters.engine import Engine, away, unreachable
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import Completed, Pipeline, Stage

# An engine with a containerd store gives no list when one image is removed while it counts their sizes.
_WENT, LISTINGS = "failed to calculate size of image", 5
_MISSING = re.compile(r"No such (?:image|object): (\S+)")
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7"}
Document = dict[str, Any]


def identity(engine: Engine) -> tuple[str, str]:
    """(id of the engine, its platform such as `linux/amd64`)."""
    form = "{{.ID}} {{.OSType}}/{{.Architecture}} {{.ServerVersion}} {{json .DriverStatus}}"
    done = _ask(engine, "info", "--format", form)
    name, platform, version, status = (*done.stdout.rstrip().split(" ", 3), "", "", "")[:4]
    if not name:  # without an engine the CLI prints an empty form and exits with 0 or 1, by its version
        raise _refused(engine, done)
    engine.known_id = name
    # Version 26 is the first whose builder gives one build two outputs.
    engine.writes_layouts = "io.containerd.snapshotter" in status and int(re.sub(r"\D.*", "", version) or 0) >= 26
    system, _, machine = platform.partition("/")
    return name, f"{system}/{_MACHINES.get(machine, machine)}"


def inspect(engine: Engine, references: Sequence[str]) -> dict[str, Document]:
    """Reference → what the engine says of it; those that it does not hold are left out."""
    wanted = list(dict.fromkeys(references))
    if not wanted:
        return {}
    done = _ask(engine, "image", "inspect", *wanted)
    missing = set(_MISSING.findall(done.stderr))
    if done.code != 0 and not missing:
        raise _refused(engine, done)
    found: list[Document] = json.loads(done.stdout or "[]")
    there = [name for name in wanted if name not in missing]
    if len(there) == len(found):
        return dict(zip(there, found, strict=True))
    if len(wanted) == 1:
        return {}
    return {name: document for one in wanted for name, document in inspect(engine, [one]).items()}


def tag(engine: Engine, image: str, name: str) -> None:
    engine.run(engine.argv("image", "tag", image, name), what=f"naming {name}", deadline=60)


def rename(engine: Engine, names: Mapping[str, tuple[str, str]]) -> None:
    """Old name → (image id, new name). Through the SDK: its import costs less than two processes for each image."""
    from docker.errors import NotFound

    api = engine.client.api
    try:
        for old, (image, new) in names.items():
            repository, _, tag = new.rpartition(":")
            engine.guard(api.tag, image, repository, tag)
            engine.guard(api.remove_image, old, noprune=True)
    except NotFound as error:
        raise OpsError(f"an image went while it was named: {error.explanation}", remedy="build again") from error


def remove(engine: Engine, name: str) -> str:
    """Remove a name, and the image with its last one. Empty, or why the engine would not (a container uses it)."""
    done = _ask(engine, "image", "rm", "--no-prune", name)
    if done.code == 0 or _MISSING.search(done.stderr):
        return ""
    return (done.tail(1) or ["no reason given"])[0]


def pull(engine: Engine, reference: str, *, deadline: float = 900) -> None:
    argv = engine.argv("image", "pull", "--quiet", reference)
    engine.run(argv, what=f"pulling {reference}", deadline=deadline)


def names_in_engine(engine: Engine, label: str) -> list[tuple[str, str]]:
    """(image id, repository:tag) of every named image that carries `label`. Takes a second on a containerd store."""
    return _listed(engine, label, "{{.ID}} {{.Repository}}:{{.Tag}}")


def copies_in_engine(engine: Engine, label: str, registry: str) -> list[str]:
    """repository@digest of every image that carries `label` and was pushed to or pulled from below `registry`."""
    rows = _listed(engine, label, "{{.ID}} {{.Repository}}@{{.Digest}}", "--digests")
    return sorted({name for _, name in rows if name.startswith(f"{registry}/")})


def _listed(engine: Engine, label: str, form: str, *flags: str) -> list[tuple[str, str]]:
    """(image id, name) in the form's own spelling, without images that have no such name."""
    argv = ("image", "ls", "--no-trunc", *flags, "--filter", f"label={label}", "--format", form)
    done = _ask(engine, *argv, deadline=120)
    for _ in range(LISTINGS):
        if done.code == 0 or _WENT not in done.stderr:
            break
        done = _ask(engine, *argv, deadline=120)
    if done.code != 0:
        raise _refused(engine, done)
    rows = [line.split(" ", 1) for line in done.stdout.splitlines() if " " in line]
    return [(image, name) for image, name in rows if "<none>" not in name]


def images_in_use(engine: Engine) -> set[str]:
    """Ids of the images of all containers, running or not."""
    done = _ask(engine, "container", "ls", "--all", "--quiet", "--no-trunc")
    if done.code != 0:
        raise _refused(engine, done)
    containers = done.stdout.split()
    if not containers:
        return set()
    # One that went in between is an error that changes nothing of the answer for the others.
    return set(_ask(engine, "container", "inspect", "--format", "{{.Image}}", *containers).stdout.split())


@contextmanager
def saved(engine: Engine, references: Sequence[str], *, deadline: float = 600) -> Iterator[IO[bytes]]:
    """The images as one tar stream (OCI layout, shared layers once).

    What was read counts only when the block ends without an error.
    """
    stage = Stage(engine.argv("image", "save", *references), "reading the images", engine.env())
    with Pipeline([stage]) as pipeline:
        timer = threading.Timer(deadline, pipeline.kill)
        timer.daemon = True
        timer.start()
        try:
            try:
                yield pipeline.stdout
            except Exception:
                if pipeline.ended():  # a stream that broke off: the program says why
                    pipeline.wait(5)
                raise
            while pipeline.stdout.read(1 << 16):
                pass  # the rest of the padding, so that the program ends by itself
            pipeline.wait(30)
        finally:
            timer.cancel()


def _ask(engine: Engine, *args: str, deadline: float = 60) -> Completed:
    return engine.run(engine.argv(*args), what=f"docker {args[0]} {args[1]}", deadline=deadline, check=False)


def _refused(engine: Engine, done: Completed) -> OpsError:
    if away(done.stderr):
        return unreachable(engine.settings)
    said = (done.tail(1) or [f"exit code {done.code}"])[0]
    return OpsError(f"the engine refused `{' '.join(done.argv[1:4])}`: {said}")
