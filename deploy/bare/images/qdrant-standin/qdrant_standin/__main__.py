"""Starts the server, and ends it in order on SIGTERM: requests are answered, data is on the disk, exit 0."""

from __future__ import annotations

import os
import signal
import sys
import threading

from qdrant_standin import NAME
from qdrant_standin.api import Api
from qdrant_standin.server import Server
from qdrant_standin.settings import BadSettings, load_settings
from qdrant_standin.snapshots import Snapshots
from qdrant_standin.storage import CannotOpen, Storage

PATIENCE = 15.0  # seconds for requests that had begun; below the grace that containers are given


def main() -> int:
    try:
        settings = load_settings(sys.argv[1:], os.environ)
        storage = Storage(settings.storage)
        snapshots = Snapshots(settings.snapshots, storage)
        server = Server((settings.host, settings.port), Api(storage, snapshots), settings.api_key)
    except (BadSettings, CannotOpen) as error:
        print(f"qdrant stand-in: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or f"port {settings.port}"
        print(f"qdrant stand-in: {where}: {error.strerror}", file=sys.stderr)
        return 2

    def stop(*_: object) -> None:
        threading.Thread(target=server.stop, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"{NAME} listens on {server.server_port}, data in {settings.storage}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    if not server.wait_until_idle(PATIENCE):
        print(f"requests were still running after {PATIENCE:.0f} s", file=sys.stderr, flush=True)
    storage.close()
    print("stopped; everything is on the disk", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
