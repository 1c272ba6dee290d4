"""What the server is told: `--config-path FILE` (YAML), and above it the variables that the real server reads.

What would weaken it silently stops the start instead: TLS that is not served, a key that is empty or not text.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STORAGE = "/qdrant/storage"


class BadSettings(Exception):
    """One sentence: where, what, and what to do."""


@dataclass(frozen=True)
class Settings:
    """`api_key` None means that everyone may ask. The key never appears in a representation of this."""

    api_key: str | None
    host: str
    port: int
    storage: Path
    snapshots: Path

    def __repr__(self) -> str:
        return f"Settings({self.host}:{self.port}, {self.storage}, key {'set' if self.api_key else 'not set'})"


def load_settings(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Raises `BadSettings`."""
    parser = argparse.ArgumentParser(prog="qdrant", description="a stand-in for Qdrant's server")
    parser.add_argument("--config-path", type=Path, metavar="FILE")
    file = parser.parse_args(arguments).config_path
    found = _read(file) if file else {}

    def value(section: str, name: str) -> Any:
        from_environment = environ.get(f"QDRANT__{section.upper()}__{name.upper()}")
        return found.get(section, {}).get(name) if from_environment is None else from_environment

    if str(value("service", "enable_tls") or "false").lower() != "false":
        raise BadSettings("service.enable_tls: the stand-in serves no TLS; leave it out")
    if value("service", "read_only_api_key") is not None:
        raise BadSettings("service.read_only_api_key: the stand-in knows one key only; leave it out")
    key = value("service", "api_key")
    if key is not None and (not isinstance(key, str) or not key):
        raise BadSettings("service.api_key: expected text that is not empty; put it in quotes, or leave it out")
    storage = Path(str(value("storage", "storage_path") or STORAGE))
    return Settings(
        api_key=key,
        host=str(value("service", "host") or "0.0.0.0"),
        port=_port(value("service", "http_port")),
        storage=storage,
        snapshots=Path(str(value("storage", "snapshots_path") or storage / "snapshots")),
    )


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = yaml.safe_load(file.read_text()) or {}
    except OSError as error:
        raise BadSettings(f"{file}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError):  # whose text may quote the key
        raise BadSettings(f"{file}: is no YAML") from None
    if not isinstance(document, dict) or not all(isinstance(document.get(s) or {}, dict) for s in document):
        raise BadSettings(f"{file}: expected sections, such as `service:` with `api_key:` below it")
    return {str(name): section or {} for name, section in document.items()}


def _port(value: Any) -> int:
    text = "6333" if value is None else str(value)
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise BadSettings(f"service.http_port: expected a port, found {text!r}")
    return int(text)
