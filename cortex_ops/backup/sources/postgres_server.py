"""The running server as it is found on the engine: its image, network, user, volumes; nothing derived from names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cortex_ops.backup.containers import Box
from cortex_ops.backup.context import BackupContext
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import ImageRef

# The password is read inside the container from the secret's file: no argument and no setting shows it.
_WITH_PASSWORD = 'PGPASSWORD="$(cat "$1")" && export PGPASSWORD && shift && exec "$@"'


@dataclass(frozen=True)
class Server:
    """`box` is how a client of it is run; `host`, `database` and `owner` are what the client connects to."""

    box: Box
    image: ImageRef
    user: str
    data_path: str
    host: str
    database: str
    owner: str
    secret: str

    def with_password(self, *command: str) -> list[str]:
        """The command, run with the owner's password in its environment inside the container."""
        return ["sh", "-c", _WITH_PASSWORD, "sh", f"/run/secrets/{self.secret}", *command]

    def conninfo(self) -> str:
        """A connection that notices within half a minute when the server is gone without a word."""
        name = self.database.replace("\\", "\\\\").replace("'", "\\'")
        alive = "keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=30000"
        return f"dbname='{name}' connect_timeout=15 {alive}"


def locate(ctx: BackupContext, store: str) -> Server:
    """Find the running server by its compose labels and read its image, network, user and volumes off it."""
    model = ctx.stack.stores[store]
    project = f"{ctx.prefix}-stores"
    engine = ctx.engine
    labels = (f"label=com.docker.compose.project={project}", f"label=com.docker.compose.service={store}")
    flags = [part for one in labels for part in ("--filter", one)]
    listed = engine.run(
        engine.argv("ps", *flags, "--no-trunc", "--format", "{{.ID}}"), what=f"looking for {store}", deadline=60
    )
    ids = listed.stdout.split()
    if len(ids) != 1:
        raise OpsError(
            f"{store} of {ctx.environment} cannot be backed up: {len(ids) or 'no'} running container"
            f"{'s' if len(ids) > 1 else ''} of service {store} in compose project {project}",
            remedy=f"docker compose -p {project} ps",
        )
    inspected = engine.run(engine.argv("inspect", ids[0]), what=f"inspecting {store}", deadline=60)
    found = json.loads(inspected.stdout)[0]
    mounts = {mount["Destination"]: mount for mount in found["Mounts"]}
    secrets = mounts.get("/run/secrets")
    if secrets is None or secrets["Type"] != "volume":
        raise OpsError(f"{store} of {ctx.environment} mounts no volume at /run/secrets, so its password is unknown")
    network = f"{ctx.prefix}-stores"
    if network not in found["NetworkSettings"]["Networks"]:
        raise OpsError(f"{store} of {ctx.environment} is not on the network {network}")
    user = found["Config"]["User"] or f"{model.user}:{model.user}"
    box = Box(
        image=found["Image"],
        network=network,
        user=user,
        volumes=(f"{secrets['Name']}:/run/secrets:ro",),
        flags=("--memory", "256m", "--pids-limit", "64"),
    )
    return Server(
        box=box,
        image=_image(ctx, store, found),
        user=user,
        data_path=next((path for path in mounts if path.startswith("/var/lib/postgresql")), ""),
        host=store,
        database=model.database,
        owner=model.owner,
        secret=model.secret,
    )


def _image(ctx: BackupContext, store: str, found: dict[str, Any]) -> ImageRef:
    """The release's own reference when it is what runs, else the image as the engine knows it."""
    locked = ctx.lock.images.get(store)
    if locked is not None and found["Image"] in (locked.image_id, locked.digest, *locked.platforms.values()):
        return locked
    return ImageRef(fingerprint="", image_id=found["Image"], engine_id=ctx.engine.id)
