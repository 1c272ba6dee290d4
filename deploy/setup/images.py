"""Base images for a machine that can pull none: built once per content, pushed under the public images' names."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.engine import cache_folder, docker, write_record
from deploy.setup.shell import SetupError, run, say, step

BARE = Path(__file__).resolve().parents[1] / "bare" / "images"
LABEL = "org.cortex-ops.content"


@dataclass(frozen=True)
class Base:
    """`name`: the public image whose place it takes; `folder`: its Dockerfile; `after`: what it is built on."""

    name: str
    folder: str
    stand_in: bool = False


DEBIAN = "debian:bookworm-slim"
BASES = (
    Base("node:24-bookworm-slim", "node"),
    Base("postgres:15", "postgres"),
    Base("redis:7", "redis"),
    Base("nats:2.10-alpine", "nats"),
    Base("qdrant/qdrant:v1.7.4", "qdrant-standin", stand_in=True),
)


def ensure_images(project: Path, record: dict[str, object]) -> None:
    """Nothing on a machine that found its engine: there public images are pulled. Otherwise build what is new."""
    if record["kind"] != "bare":
        say("✓ base images are pulled when they are needed")
        return
    mirror = str(record["mirror"])
    digests: dict[str, str] = {}
    debian_hash = hashlib.sha256(_debian_recipe().encode()).hexdigest()
    if _pushed(mirror, DEBIAN, debian_hash) is None:
        _make_debian(record, mirror, debian_hash)
    digests[DEBIAN] = _require(mirror, DEBIAN, debian_hash)
    for base in BASES:
        folder = BARE / base.folder
        if not folder.is_dir():
            continue
        content = _content(folder, debian_hash)
        if _pushed(mirror, base.name, content) is None:
            _make(record, mirror, base, folder, content)
        digests[base.name] = _require(mirror, base.name, content)
        docker(record, "pull", "-q", base.name)
    record["standins"] = [b.name for b in BASES if b.stand_in and (BARE / b.folder).is_dir()]
    write_record(project, record)
    (project / ".cortex" / "bases.json").write_text(json.dumps(digests, indent=1) + "\n")
    say(f"✓ base images are in the registry at {mirror}: {', '.join(digests)}")


def _debian_recipe() -> str:
    return "mmdebstrap minbase bookworm ca-certificates 2"


def _content(folder: Path, below: str) -> str:
    digest = hashlib.sha256(below.encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def repository(name: str) -> tuple[str, str]:
    """(repository, tag) as the mirror of docker.io has it."""
    repo, _, tag = name.partition(":")
    return (repo if "/" in repo else f"library/{repo}"), tag


def _pushed(mirror: str, name: str, content: str) -> str | None:
    """The digest of the image that was pushed for this content, if it is still there and still what the tag means."""
    repo, tag = repository(name)
    marked = _digest(mirror, repo, f"content-{content[:32]}")
    return marked if marked and marked == _digest(mirror, repo, tag) else None


def _digest(mirror: str, repo: str, tag: str) -> str | None:
    connection = http.client.HTTPConnection(mirror, timeout=10)
    kinds = (
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
        "application/vnd.docker.distribution.manifest.v2+json, "
        "application/vnd.docker.distribution.manifest.list.v2+json"
    )
    try:
        connection.request("HEAD", f"/v2/{repo}/manifests/{tag}", headers={"Accept": kinds})
        answer = connection.getresponse()
        return answer.getheader("Docker-Content-Digest") if answer.status == 200 else None
    except (OSError, http.client.HTTPException) as error:
        raise SetupError(f"the registry at {mirror} does not answer: {error}", "run `make setup` again") from error


def _require(mirror: str, name: str, content: str) -> str:
    digest = _pushed(mirror, name, content)
    if digest is None:
        raise SetupError(f"{name} was pushed to {mirror} and is not there", "run `make setup` again")
    return digest


def _make_debian(record: dict[str, object], mirror: str, content: str) -> None:
    with step(f"making {DEBIAN} from Debian packages"), tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "debian.tar"
        run(["mmdebstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", archive], deadline=600)
        docker(record, "import", "--change", 'CMD ["bash"]', str(archive), DEBIAN)
        _push(record, mirror, DEBIAN, content)


def _make(record: dict[str, object], mirror: str, base: Base, folder: Path, content: str) -> None:
    what = f"building {base.name}" + (" (a stand-in)" if base.stand_in else "")
    with step(what), tempfile.TemporaryDirectory() as work:
        context = Path(work) / "context"
        shutil.copytree(folder, context, ignore=shutil.ignore_patterns("__pycache__"))
        if base.folder == "nats":
            shutil.copyfile(cache_folder() / "newer/usr/sbin/nats-server", context / "nats-server")
            (context / "nats-server").chmod(0o755)
        arguments = ["buildx", "build", "-q", "--provenance=false", "--label", f"{LABEL}={content}", "-t", base.name]
        if record.get("ca_bundle") and os.path.isfile(str(record["ca_bundle"])):  # noqa: PTH113
            arguments += ["--secret", f"id=ca_bundle,src={record['ca_bundle']}"]
        docker(record, *arguments, str(context))
        _push(record, mirror, base.name, content)


def _push(record: dict[str, object], mirror: str, name: str, content: str) -> None:
    repo, tag = repository(name)
    for each in (tag, f"content-{content[:32]}"):
        target = f"{mirror}/{repo}:{each}"
        docker(record, "tag", name, target)
        docker(record, "push", "-q", target)
        docker(record, "rmi", target)
