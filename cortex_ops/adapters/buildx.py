"""`docker buildx bake`: its command line, its progress as lines a person reads, and its failures in one sentence."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import DeadlineError, OpsError
from cortex_ops.kernel.progress import Progress

_STEP = re.compile(r"^#(\d+) \[(.+)\] (.*)$")
_DONE = re.compile(r"^#(\d+) (DONE ([\d.]+)s|CACHED|ERROR.*)$")
_TELLING = re.compile(r"error|fail|✖|not found|cannot|missing|denied", re.I)
_MISSING_BASE = re.compile(
    r"ERROR: .*?(?:failed to resolve source metadata for |pull access denied, .*?)([\w./:@-]+)"
)


def bake(
    engine: Engine, document: dict[str, Any], *, progress: Progress, deadline: float = 1800.0
) -> dict[str, dict[str, Any]]:
    """Build all targets of the document; returns bake's metadata by target. Raises `OpsError`."""
    with tempfile.TemporaryDirectory(prefix="cortex-ops-bake-") as folder:
        file, metadata = Path(folder) / "bake.json", Path(folder) / "metadata.json"
        file.write_text(json.dumps(document))
        reader = _Reader(progress)
        argv = engine.argv(
            *("buildx", "bake", "--progress", "plain", "-f", str(file), "--metadata-file", str(metadata)),
            *_permissions(document),
        )
        try:
            engine.run(argv, what="building the images", deadline=deadline, on_line=reader.line, cwd=Path(folder))
        except DeadlineError:
            raise
        except OpsError as error:
            raise reader.explain(error) from error
        data = json.loads(metadata.read_text())
    return {name: value for name, value in data.items() if isinstance(value, dict)}


def _permissions(document: dict[str, Any]) -> list[str]:
    """Bake asks before it reads outside its folder; what the document names may be read."""
    paths = {target["context"] for target in document["target"].values()}
    for target in document["target"].values():
        paths |= {part.split("src=", 1)[1] for part in target.get("secret", []) if "src=" in part}
    return [f"--allow=fs.read={path}" for path in sorted(paths)]


class _Reader:
    """Follows plain progress: says each step once, keeps the output of each step for the error."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.names: dict[str, str] = {}
        self.output: dict[str, list[str]] = {}
        self.failed = ""
        self.all: list[str] = []

    def line(self, line: str) -> None:
        self.all.append(line)
        del self.all[:-400]
        if match := _STEP.match(line):
            number, where, what = match.groups()
            if number not in self.names:
                self.names[number] = f"[{where}] {what}"
                if not where.startswith("internal"):
                    self.progress.say(f"    {where}: {what[:90]}", style="dim")
        elif match := _DONE.match(line):
            number, what, seconds = match.groups()
            if what.startswith("ERROR"):
                self.failed = self.failed or number
                self.output.setdefault(number, []).append(what)
            elif seconds and float(seconds) >= 2 and number in self.names:
                self.progress.say(f"    {self.names[number][:80]} took {float(seconds):.0f} s", style="dim")
        elif (match := re.match(r"^#(\d+) (?:[\d.]+ )?(.*)$", line)) and match[2]:
            self.output.setdefault(match[1], []).append(match[2])

    def explain(self, error: OpsError) -> OpsError:
        text = "\n".join(self.all)
        if "no space left on device" in text:
            return OpsError("the build ran out of disk space", remedy="free some space on the engine's disk")
        failing = self.names.get(self.failed, "")
        tail = [line for line in self.output.get(self.failed, []) if line.strip()]
        if "load metadata for" in failing or "failed to resolve source metadata" in text:
            match = re.search(r"load metadata for (\S+)", failing) or _MISSING_BASE.search(text)
            image = match[1].removeprefix("docker.io/library/") if match else "a base image"
            place = re.search(r"(\S*Dockerfile\S*:\d+)", text)
            where = f" (named at {place[1]})" if place else ""
            return OpsError(
                f"base image {image}{where} does not exist or cannot be pulled",
                details=[line for line in self.all if "ERROR" in line][-3:],
                remedy="correct the FROM line, or log in to the registry that has it",
            )
        said = [line.strip() for line in tail if not line.startswith("ERROR")]
        cause = next((line for line in reversed(said) if _TELLING.search(line)), said[-1] if said else "")
        if failing:
            message = f"building {failing} failed" + (f": {cause}" if cause else "")
            return OpsError(message, details=tail[-20:], remedy="correct the Dockerfile or what it runs")
        last = [line for line in self.all if line.strip()][-12:]
        found = next((line for line in reversed(last) if "ERROR" in line or "error" in line), error.message)
        return OpsError(f"building the images failed: {found.removeprefix('ERROR: ')}", details=last)
