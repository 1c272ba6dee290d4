"""An engine behind ssh, as a socket of this process: each connection is one `docker system dial-stdio`.

The SDK's own ssh needs another package, and knows less of a person's ssh configuration than the docker CLI does.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path


class Dialed:
    """`host` is `unix://…` for as long as this object lives; a connection's process ends with the connection."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self._argv, self._env = list(argv), dict(env)
        self._folder = tempfile.TemporaryDirectory(prefix="cortex-ops-")
        path = Path(self._folder.name, "engine.sock")
        self.host = f"unix://{path}"
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                both = connection.fileno()
                child = subprocess.Popen(
                    self._argv, env=self._env, stdin=both, stdout=both, stderr=subprocess.DEVNULL
                )
            threading.Thread(target=child.wait, daemon=True).start()
