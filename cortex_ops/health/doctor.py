"""Is each thing here that the pipeline needs, and if not, what to type. Reads only."""

from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import run
from cortex_ops.kernel.settings import Settings
from cortex_ops.results import HealthFinding

if TYPE_CHECKING:
    from cortex_ops.wiring import Wiring

FREE_BYTES = 2 * 1024**3


def examine(w: Wiring) -> list[HealthFinding]:
    """One finding per thing, cheapest first; later ones are asked even when earlier ones failed."""
    settings = w.settings
    return [
        _ask("git", lambda: _git()),
        _ask("stack file", lambda: f"{settings.stack_file} is valid: {len(w.stack.services)} services"),
        _ask("state folder", lambda: _space(settings)),
        _ask("engine", lambda: _engine(w.engine)),
        _ask("buildx", lambda: _plugin(settings, "buildx")),
        _ask("compose", lambda: _plugin(settings, "compose")),
        _ask("store", lambda: _store(w.store)),
        *_clusters(w),
        *_secrets(settings),
        *_standins(settings),
    ]


def _ask(thing: str, question) -> HealthFinding:  # type: ignore[no-untyped-def]
    try:
        return HealthFinding(object=thing, ok=True, message=str(question()))
    except OpsError as error:
        return HealthFinding(object=thing, ok=False, message=error.message, remedy=error.remedy)
    except OSError as error:
        return HealthFinding(object=thing, ok=False, message=f"{error.filename or thing}: {error.strerror}")


def _git() -> str:
    if shutil.which("git") is None:
        raise OpsError("git is not installed", remedy="install git")
    return run(["git", "--version"], deadline=10).stdout.strip()


def _space(settings: Settings) -> str:
    settings.state.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.state).free
    if free < FREE_BYTES:
        raise OpsError(f"{settings.state} has only {free / 1024**3:.1f} GiB free", remedy="free some space")
    return f"{settings.state} has {free / 1024**3:.0f} GiB free"


def _engine(engine) -> str:  # type: ignore[no-untyped-def]
    engine.check_version()
    return f"Docker Engine {engine.info['ServerVersion']} ({engine.info['OperatingSystem']}) answers"


def _plugin(settings: Settings, name: str) -> str:
    done = run([settings.docker, name, "version"], env=settings.docker_env(), deadline=20, check=False)
    if done.code:
        raise OpsError(f"`docker {name}` is not available", remedy="run `make setup`")
    return done.stdout.strip().splitlines()[0]


def _store(store) -> str:  # type: ignore[no-untyped-def]
    store.list("releases/")
    return "answers"


def _clusters(w: Wiring) -> list[HealthFinding]:
    """Of each environment that goes to one."""
    try:
        names = [name for name, spec in w.stack.environments.items() if spec.target == "kubernetes"]
    except OpsError:
        return []  # the stack file has its own finding

    def ask(name: str) -> str:
        cluster = w.cluster(name)
        cluster.patience = 0
        found = cluster.request("GET", "/version")
        return f"Kubernetes {found['gitVersion']} at {cluster.address} answers"

    return [_ask(f"cluster of {name}", functools.partial(ask, name)) for name in names]


def _secrets(settings: Settings) -> list[HealthFinding]:
    from cortex_ops.stack.environments import resolve
    from cortex_ops.stack.load import load_stack

    out = []
    try:
        stack = load_stack(settings.stack_file)
    except OpsError:
        return []  # the stack file has its own finding
    from cortex_ops.secrets.delivery import deliveries

    for name in stack.environments:
        environment = resolve(stack, name)
        if environment.mode == "development":
            continue

        def ask(environment=environment, name=name) -> str:  # type: ignore[no-untyped-def]
            found = deliveries(stack, environment, settings)
            return f"{len(found.versions)} consumers of secrets in {name} have all they need"

        folder = settings.stack_file.parent / environment.secrets_folder
        if environment.secrets_folder and not folder.resolve().exists():  # most machines serve one environment only
            note = f"none are on this machine: {folder.resolve()} does not exist"
            out.append(HealthFinding(object=f"secrets of {name}", ok=True, message=note))
            continue
        out.append(_ask(f"secrets of {name}", ask))
    return out


def _standins(settings: Settings) -> list[HealthFinding]:
    return [
        HealthFinding(object="stand-in", ok=True, message=f"{name} is a stand-in on this machine, not the real image")
        for name in settings.standins
    ]
