"""Kinds of other projects, as their own modules carry them: tests install them to see what they take."""

from __future__ import annotations

from pathlib import Path

from deploy.setup import tools
from deploy.setup.lock import alone

SOURCES = Path(__file__).resolve().parents[1] / "bare" / "kinds"
ISTIO = "istio.io/api"


def istio_kinds(cache: Path) -> Path:
    """A file of Istio's CustomResourceDefinitions; its module's version and hash are committed."""
    version = _version(ISTIO)
    target = cache / f"istio-kinds-{version}.yaml"
    if not target.is_file():
        with alone(cache):
            module = tools.go_module(cache, SOURCES, ISTIO)
            partial = target.with_suffix(".partial")
            partial.write_bytes((module / "kubernetes" / "customresourcedefinitions.gen.yaml").read_bytes())
            partial.rename(target)
    return target


def _version(module: str) -> str:
    words = (SOURCES / "go.mod").read_text().split()
    return words[words.index(module) + 1]
