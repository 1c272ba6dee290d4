"""A real Postgres laid out as a release lays it out: project, network, secret volume, labels; with sample rows.

The name is its own for every use, so that tests do not meet each other or a demo on the same engine.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cortex_ops.adapters.engine import Engine
from cortex_ops.backup import BackupContext
from cortex_ops.kernel.clock import SYSTEM, Clock
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.settings import Settings, load_settings
from cortex_ops.kernel.store import StreamStore
from cortex_ops.kernel.values import ImageLock
from cortex_ops.stack.load import load_stack
from cortex_ops.stack.schema import Stack
from cortex_ops.store import open_store
from tests.support.engine import ROOT, docker, docker_env, record

IMAGE = "postgres:15"
LABEL = "org.cortex-ops."

SAMPLE = """
CREATE ROLE app LOGIN PASSWORD 'app-role-password'; CREATE ROLE "Odd ""Role'"; GRANT app TO "Odd ""Role'";
ALTER ROLE app SET statement_timeout = '5s';
ALTER DATABASE cortex SET work_mem = '8MB'; COMMENT ON DATABASE cortex IS 'the sample';
GRANT CONNECT ON DATABASE cortex TO app;
CREATE SCHEMA "Mixed Case";
CREATE TABLE tasks (id bigserial PRIMARY KEY, title text NOT NULL, done boolean, at timestamptz, price numeric,
  share double precision, tags text[], extra jsonb, raw bytea);
INSERT INTO tasks (title, done, at, price, share, tags, extra, raw)
  SELECT 'task ' || g, g % 2 = 0, timestamptz '2026-01-01 00:00:00+02' + g * interval '1 hour', g / 7.0, g / 3.0,
  ARRAY['a', NULL, E'tab\\there'], jsonb_build_object('n', g, 'text', E'line\\nbreak \\\\connect x'),
  decode(md5(g::text), 'hex') FROM generate_series(1, 500) g;
CREATE TABLE "Mixed Case"."t" (t text, "x" int);
INSERT INTO "Mixed Case"."t" VALUES ('same', 1), ('same', 1), (NULL, NULL), (E'\\\\.', 3);
CREATE TABLE empty_one (id int); CREATE TABLE no_columns ();
CREATE TABLE part (day date, n int) PARTITION BY RANGE (day);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO part VALUES ('2026-01-05', 1), ('2026-01-06', 2);
CREATE TABLE parent (a int); CREATE TABLE child (b int) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE SEQUENCE never_used; CREATE SEQUENCE used START 100; SELECT nextval('used');
CREATE VIEW open_tasks AS SELECT * FROM tasks WHERE NOT done;
CREATE FUNCTION note() RETURNS text LANGUAGE sql AS $$ SELECT '
\\connect elsewhere
-- Name: trap; Type: TABLE;
' $$;
SELECT lo_from_bytea(0, 'a large object');
CREATE EXTENSION IF NOT EXISTS plpgsql;
"""


@dataclass
class Place:
    """A running sample and what is needed to back it up."""

    settings: Settings
    stack: Stack
    password: str
    container: str
    engine: Engine
    environment: str = "local"
    contexts: list[BackupContext] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"{self.stack.name}-{self.environment}"

    def context(
        self,
        *,
        store: StreamStore | None = None,
        settings: Settings | None = None,
        run_id: str = "",
        clock: Clock = SYSTEM,
        progress: Progress = SILENT,
        deadline: float = 300.0,
        **changes: object,
    ) -> BackupContext:
        settings = settings or self.settings
        given: dict[str, object] = {
            "settings": settings,
            "engine": self.engine,
            "store": store or open_store(settings),
            "stack": self.stack,
            "environment": self.environment,
            "prefix": self.prefix,
            "lock": ImageLock(source_revision="sample", source_dirty=False, images={}),
            "release": 7,
            "clock": clock,
            "progress": progress,
            "run_id": run_id or secrets.token_hex(16),
            "deadline": deadline,
        }
        return BackupContext(**{**given, **changes})  # type: ignore[arg-type]

    def sql(self, text: str) -> str:
        """Run statements in the original, over its own socket."""
        done = subprocess.run(
            [
                *(record()["docker"], "exec", "-i", self.container),
                *("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "cortex", "-d", "cortex", "-f", "-"),
            ],
            input=text,
            env=docker_env(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def helpers(self) -> list[str]:
        """Every container of the project but the database itself."""
        wanted = f"label={LABEL}project={self.prefix}"
        names = docker("ps", "-a", "--filter", wanted, "--format", "{{.Names}}").split()
        return [name for name in names if name != self.container]


def sample_settings(folder: Path, **env: str) -> Settings:
    """Settings whose state, keys and store are in `folder` and whose engine is the one that set-up found."""
    found = record()
    given = {
        "CORTEX_OPS_PROJECT": str(ROOT),
        "CORTEX_OPS_STATE": str(folder / "state"),
        "CORTEX_OPS_DOCKER": found["docker"],
        "DOCKER_HOST": found["host"],
        "DOCKER_CONFIG": found.get("config_dir") or "",
        "CORTEX_OPS_ACTOR": "tester",
    }
    return load_settings({**given, **env})


@contextlib.contextmanager
def sample_postgres(folder: Path, *, sql: str = SAMPLE, password: str = "", memory: str = "512m") -> Iterator[Place]:
    """Start, fill, yield, remove."""
    settings = sample_settings(folder)
    name = f"t{secrets.token_hex(4)}"
    stack = load_stack(ROOT / "deploy" / "stack.yaml").model_copy(update={"name": name})
    password = password or f"sentinel/{secrets.token_urlsafe(18)}+%"
    prefix = f"{name}-local"
    network, volume, container = f"{prefix}-stores", f"{prefix}-postgres-secrets-000000000001", f"{prefix}-postgres-1"
    data = f"{prefix}-postgres-data"
    place = Place(settings, stack, password, container, Engine(settings))
    label = ("--label", f"{LABEL}project={prefix}")
    try:
        docker("network", "create", "--internal", *label, network)
        docker("volume", "create", *label, volume)
        docker("volume", "create", *label, data)
        _fill_secret(volume, password)
        docker(
            *("run", "--detach", "--name", container, "--user", "999:999", *label),
            *("--label", f"com.docker.compose.project={prefix}-stores"),
            *("--label", "com.docker.compose.service=postgres"),
            *("--network", network, "--network-alias", "postgres", "--memory", memory, "--pull", "never"),
            *("--volume", f"{data}:/var/lib/postgresql/data", "--volume", f"{volume}:/run/secrets:ro"),
            *("--env", "POSTGRES_DB=cortex", "--env", "POSTGRES_USER=cortex"),
            *("--env", "POSTGRES_PASSWORD_FILE=/run/secrets/postgres-password"),
            *("--env", "PGDATA=/var/lib/postgresql/data/pgdata", IMAGE),
        )
        _wait(container)
        if sql:
            place.sql(sql)
        yield place
    finally:
        leftovers = docker("ps", "-aq", "--filter", f"label={LABEL}project={prefix}", check=False).split()
        docker("rm", "-f", "-v", *(leftovers or [container]), check=False)
        docker("network", "rm", network, check=False)
        docker("volume", "rm", volume, data, check=False)


def _fill_secret(volume: str, password: str) -> None:
    script = "cat > /v/postgres-password && chmod 400 /v/postgres-password && chown -R 999:999 /v && chmod 500 /v"
    subprocess.run(
        [
            *(record()["docker"], "run", "--rm", "-i", "--network", "none", "--user", "0:0"),
            *("-v", f"{volume}:/v", "--entrypoint", "sh", IMAGE, "-c", script),
        ],
        input=password.encode(),
        env=docker_env(),
        check=True,
        timeout=60,
        stdout=subprocess.DEVNULL,
    )


def _wait(container: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        state = subprocess.run(
            [record()["docker"], "exec", container, "pg_isready", "-q", "-h", "127.0.0.1", "-d", "cortex"],
            env=docker_env(),
            check=False,
        )
        if state.returncode == 0:
            return
        time.sleep(0.2)
    raise AssertionError(f"{container} did not become ready: {docker('logs', container, check=False)}")
