"""The Docker Engine: its API through the SDK (imported on first use) and its CLI as argument lists.

Decides nothing about releases or images; callers pass plans in. The SDK costs 0.4 s to import, so nothing
here imports it at module level.
"""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortex_ops.adapters.dial import Dialed
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import Completed, run
from cortex_ops.kernel.settings import Settings

if TYPE_CHECKING:
    import docker

OLDEST = (25, 0)


class Engine:
    """One engine, found by settings. Every method raises `OpsError` when it cannot be reached."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.extra_env: dict[str, str] = {}  # a login, for as long as it is needed
        self.known_id = ""  # from whoever asked first: `info` takes the engine a tenth of a second
        self.writes_layouts = False  # whether its builder can, once its id was asked for
        self.image_env: dict[str, dict[str, str]] = {}  # by image id: what the image itself sets

    # -- command lines -----------------------------------------------------------------------------------
    def argv(self, *args: str) -> list[str]:
        """`docker …` with the right binary; run it with `env()`."""
        return [self.settings.docker, *args]

    def compose(self, project: str, files: Sequence[Path], *args: str) -> list[str]:
        """`docker compose -p project -f … args`, exactly what a person can type."""
        flags = [part for file in files for part in ("-f", str(file))]
        return self.argv("compose", "--progress", "plain", "-p", project, *flags, *args)

    def env(self) -> dict[str, str]:
        return {**self.settings.docker_env(), **self.extra_env}

    def run(
        self,
        argv: Sequence[str],
        *,
        what: str,
        deadline: float = 600,
        stdin: bytes | None = None,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        watch: Callable[[], None] | None = None,
    ) -> Completed:
        """Run a docker command line; the engine being away gets its own sentence."""
        try:
            return run(
                argv,
                what=what,
                deadline=deadline,
                stdin=stdin,
                check=check,
                on_line=on_line,
                env={**self.env(), **(env or {})},
                cwd=cwd,
                watch=watch,
            )
        except OpsError as error:
            text = "\n".join([error.message, *error.details])
            if away(text):
                raise unreachable(self.settings) from error
            raise

    # -- the API -----------------------------------------------------------------------------------------
    @staticmethod
    def import_sdk() -> None:
        """In a thread of its own, while its caller waits for a program before it needs the SDK."""
        threading.Thread(target=importlib.import_module, args=("docker",), daemon=True).start()

    @functools.cached_property
    def client(self) -> docker.DockerClient:
        """The SDK's client. Its calls time out after 60 s unless the caller says otherwise."""
        import docker
        from docker.errors import DockerException

        try:
            env = {**os.environ, **self.env()}
            how = docker.utils.kwargs_from_env(environment=env)
            if str(how.get("base_url")).startswith("ssh://"):
                self._dialed = Dialed(self.argv("system", "dial-stdio"), env)
                how = {"base_url": self._dialed.host}
            if tls := how.get("tls"):
                _only_its_own_certificates(tls)
            client = docker.DockerClient(**how, timeout=60)
            self._version = str(client.version().get("Version", "0"))
        except DockerException as error:
            raise unreachable(self.settings) from error
        return client

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        return self.guard(self.client.info)

    @property
    def id(self) -> str:
        """What distinguishes this engine from every other: image ids are only valid on it."""
        self.known_id = self.known_id or str(self.info["ID"])
        return self.known_id

    def check_version(self) -> None:
        """Raise for an engine older than we support."""
        self.guard(self.client.ping)
        text = self._version
        parts = tuple(int(p) for p in text.split("-")[0].split(".")[:2] if p.isdigit())
        if parts < OLDEST:
            raise OpsError(
                f"Docker Engine {text} is older than {OLDEST[0]}, the oldest that is supported",
                remedy="update Docker Engine, Docker Desktop or OrbStack",
            )

    def guard(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run an SDK call; connection loss becomes one clear error, API errors keep their explanation."""
        import requests
        from docker.errors import APIError, DockerException, NotFound

        try:
            return call(*args, **kwargs)
        except NotFound:
            raise
        except APIError as error:
            raise OpsError(f"the engine refused: {error.explanation or error}") from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout, DockerException) as error:
            raise unreachable(self.settings) from error


def _only_its_own_certificates(tls: Any) -> None:
    """Requests would put REQUESTS_CA_BUNDLE in place of the engine's own authority."""
    configure = tls.configure_client

    def alone(session: Any) -> None:
        configure(session)
        session.trust_env = False

    tls.configure_client = alone


def away(text: str) -> bool:
    """Whether the CLI says that no engine answers; its versions say it in different words."""
    words = ("annot connect to the Docker daemon", "error during connect", "failed to connect to the docker API")
    return any(one in text for one in words)


def unreachable(settings: Settings) -> OpsError:
    """The one sentence for an engine that does not answer."""
    where = settings.docker_host or "its default socket"
    return OpsError(
        f"the Docker engine at {where} does not answer",
        remedy="start Docker Engine, Docker Desktop or OrbStack, or run `make setup` on a bare machine",
    )
