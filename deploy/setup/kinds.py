"""Kinds of other projects, as their own modules carry them: tests install them to see what they take."""

from __future__ import annotations

from pathlib import Path

from deploy.setup import tools
from deploy.setup.lock import alone
from deploy.setup.shell import run

SOURCES = Path(__file__).resolve().parents[1] / "bare" / "kinds"
ISTIO = "istio.io/api"
REMEDY = "check the network and `go env GOPROXY`, and run this again"


def istio_kinds(cache: Path) -> Path:
    """A file of Istio's CustomResourceDefinitions; its module's version and hash are committed."""
    version = _version(ISTIO)
    target = cache / f"istio-kinds-{version}.yaml"
    if not target.is_file():
        with alone(cache):
            go = tools.go(cache)
            run([go, "mod", "download", ISTIO], cwd=SOURCES, remedy=REMEDY)
            module = run([go, "list", "-m", "-f", "{{.Dir}}", ISTIO], cwd=SOURCES, remedy=REMEDY).stdout.strip()
            partial = target.with_suffix(".partial")
            partial.write_bytes(Path(module, "kubernetes", "customresourcedefinitions.gen.yaml").read_bytes())
            partial.rename(target)
    return target


def _version(module: str) -> str:
    words = (SOURCES / "go.mod").read_text().split()
    return words[words.index(module) + 1]
