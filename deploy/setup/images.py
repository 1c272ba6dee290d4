"""Base images for a machine that can pull none: built once per content, pushed under the public images' names.

Each is labelled with its content and tagged with it in the registry, so that a second clone builds nothing.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.setup import debian
from deploy.setup.engine import Record, cache_folder, write_json, write_record
from deploy.setup.finding import ask
from deploy.setup.lock import alone
from deploy.setup.manifests import digest, repository, retag
from deploy.setup.shell import SetupError, run, say, step, stream

BARE = Path(__file__).resolve().parents[1] / "bare" / "images"
LABEL = "org.cortex-ops.content"


@dataclass(frozen=True)
class Base:
    """`name`: the public image whose place it takes; `folder`: its Dockerfile."""

    name: str
    folder: str
    stand_in: bool = False


DEBIAN = "debian:bookworm-slim"
DEBIAN_SUITE = "bookworm"
# As small as the public image: no manuals, no translations, and no Perl, which only the merging of /usr would need.
DEBIAN_FLAGS = (
    "--variant=minbase",
    "--include=ca-certificates,usr-is-merged",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    *(f"--dpkgopt=path-exclude=/usr/share/{one}/*" for one in ("doc", "info", "lintian", "locale", "man")),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
)
BASES = (
    Base("node:24-bookworm-slim", "node"),
    Base("postgres:15", "postgres"),
    Base("redis:7", "redis"),
    Base("nats:2.10-alpine", "nats"),
    Base("qdrant/qdrant:v1.7.4", "qdrant-standin", stand_in=True),
)


def ensure_images(project: Path, record: Record) -> None:
    """Nothing on a machine that found its engine: there public images are pulled. Otherwise build what is new."""
    if record["kind"] != "bare":
        say("✓ base images are pulled when they are needed")
        return
    with alone(cache_folder()):
        made = Made(record)
        debian_hash = hashlib.sha256(" ".join((DEBIAN_SUITE, *DEBIAN_FLAGS)).encode()).hexdigest()
        made.ensure(DEBIAN, debian_hash, made.make_debian)
        for base in BASES:
            content = content_of(BARE / base.folder, debian_hash)
            made.ensure(base.name, content, functools.partial(made.build, base, content))
    record["standins"] = [base.name for base in BASES if base.stand_in]
    write_record(project, record)
    write_json(project / ".cortex" / "bases.json", made.digests)
    say(f"✓ base images are in the registry at {made.mirror}: {', '.join(made.digests)}")


def content_of(folder: Path, below: str) -> str:
    """A hash of everything in `folder` and of what it is built on."""
    hashed = hashlib.sha256(below.encode())
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        hashed.update(f"{path.relative_to(folder)}\0{path.stat().st_mode & 0o111}\0".encode() + path.read_bytes())
    return hashed.hexdigest()


class Made:
    """What is in the registry by now: `digests` by image name."""

    def __init__(self, record: Record) -> None:
        self.record, self.mirror = record, str(record["mirror"])
        self.digests: dict[str, str] = {}

    def ensure(self, name: str, content: str, make: Callable[[], None]) -> None:
        """Registry and engine hold `name` with this content afterwards."""
        repo, tag = repository(name)
        mark = f"content-{content[:32]}"
        wanted = digest(self.mirror, repo, mark)
        if wanted is None:
            make()
            self._push(name, repo, mark)
            wanted = digest(self.mirror, repo, mark)
        if wanted is None:
            raise SetupError(f"{name} was pushed to {self.mirror} and is not there", "run `make setup` again")
        if digest(self.mirror, repo, tag) != wanted:
            retag(self.mirror, repo, mark, tag)
        if (ask(str(self.record["host"]), f"/images/{name}/json", 30) or {}).get("Id") != wanted:
            self._docker("pull", "-q", name)
        self.digests[name] = wanted

    def make_debian(self) -> None:
        with step(f"making {DEBIAN} from Debian packages"), tempfile.TemporaryDirectory() as folder:
            listed, archive = Path(folder) / "sources.list", Path(folder) / "debian.tar"
            listed.write_text(debian.entries(DEBIAN_SUITE))
            run(["mmdebstrap", *DEBIAN_FLAGS, DEBIAN_SUITE, archive, listed], deadline=900)
            self._docker("import", "--change", 'CMD ["bash"]', str(archive), DEBIAN)

    def build(self, base: Base, content: str) -> None:
        what = f"building {base.name}" + (" (a stand-in)" if base.stand_in else "")
        with step(what), tempfile.TemporaryDirectory() as work:
            context = Path(work) / "context"
            shutil.copytree(BARE / base.folder, context, ignore=shutil.ignore_patterns("__pycache__"))
            if base.folder == "nats":
                shutil.copyfile(cache_folder() / "newer/usr/sbin/nats-server", context / "nats-server")
                (context / "nats-server").chmod(0o755)
            argv = ["buildx", "build", "--progress=plain", "--provenance=false", "--load"]
            argv += ["--label", f"{LABEL}={content}", "-t", base.name]
            if self.record.get("ca_bundle"):
                argv += ["--secret", f"id=ca_bundle,src={self.record['ca_bundle']}"]
            stream([str(self.record["docker"]), *argv, context], _say_step, env=self._env())

    def _push(self, name: str, repo: str, mark: str) -> None:
        target = f"{self.mirror}/{repo}:{mark}"
        self._docker("tag", name, target)
        self._docker("push", "-q", target)
        self._docker("rmi", target)

    def _env(self) -> dict[str, str]:
        return {"DOCKER_HOST": str(self.record["host"]), "DOCKER_CONFIG": str(self.record["config_dir"])}

    def _docker(self, *arguments: str) -> None:
        run([str(self.record["docker"]), *arguments], env=self._env())


def _say_step(line: str) -> None:
    """`#7 [wheel 2/3] RUN …` of plain progress is what a person wants to see of a build."""
    match = re.fullmatch(r"#\d+ (\[(?:\S+ )?\d+/\d+\] .*)", line)
    if match:
        text = re.sub(r"\s+", " ", match[1])
        say(f"    {text if len(text) <= 100 else text[:99] + '…'}")
