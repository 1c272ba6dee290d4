"""Systems that the rows measure: many services on paper, a tree of many files, the sample on the real engine."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path

# No housekeeping: it would go on in the background while the tree is measured, and while it is removed.
GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "maintenance.auto=false"]
GIT += ["-c", "gc.auto=0"]


def many_services(count: int) -> str:
    """A stack file of `count` services in chains of ten, each with a secret, over three stores."""
    stores = {
        "postgres": {"kind": "postgres", "image": "postgres:15", "user": 999, "database": "app", "owner": "app"},
        "nats": {"kind": "nats", "image": "nats:2.10-alpine", "user": 1000},
        "redis": {"kind": "redis", "image": "redis:7", "user": 999},
    }
    stores = {name: {**store, "secret": "s0", "volume": "10Gi"} for name, store in stores.items()}
    services = {}
    for n in range(count):
        services[f"service-{n:03d}"] = {
            "path": f"apps/service-{n:03d}",
            "build": {"dockerfile": f"apps/service-{n:03d}/Dockerfile"},
            "bundles": [f"library-{n % 20}"],
            "port": "8080",
            "env": {"NAME": f"service {n}", "NEXT_URL": "http://next:8080"},
            "secrets": {"TOKEN_FILE": f"s{n % 30}"},
            "calls": ["postgres", "nats", "redis", *([f"service-{n - 1:03d}"] if n % 10 else [])],
            "probes": {"live": "/live", "ready": "/ready", "command": ["probe"]},
            "writable": ["/tmp"],
            "resources": {"cpu": "500m", "memory": "256Mi"},
            "replicas": 2,
            **({"route": {"port": str(8000 + n)}} if n % 50 == 0 else {}),
        }
    document = {
        "version": "1",
        "name": "many",
        "source": {"path": "."},
        "libraries": {f"library-{n}": {"path": f"packages/library-{n}"} for n in range(20)},
        "services": services,
        "stores": stores,
        "secrets": {f"s{n}": {"from": "file"} for n in range(30)},
        "environments": {"local": {"secrets_folder": "secrets"}},
    }
    return json.dumps(document, indent=1)


def many_files(root: Path, count: int) -> None:
    """A committed repository of `count` files of 4 KiB in folders of fifty, and a Dockerfile that copies all."""
    root.mkdir()
    for n in range(count):
        folder = root / "src" / f"part-{n // 50:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{n % 50:02d}.txt").write_text(f"{n}\n" + secrets.token_hex(2048))
    (root / "Dockerfile").write_text("FROM scratch\nCOPY src /src\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run([*GIT, "add", "-A"], cwd=root, check=True)
    subprocess.run([*GIT, "commit", "-qm", "one"], cwd=root, check=True)
