"""`python -m deploy.setup.venv`: the project's own Python environment, whole or made again.

Runs under the machine's own Python, which the Makefile has found to be new enough.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

from deploy.setup.lock import PROJECT, alone
from deploy.setup.shell import SetupError, run, said, step


def ensure(project: Path) -> None:
    """`.venv` with exactly `requirements.lock`, hash-checked, and this project. Quick when it is there; one that a
    killed set-up left half-made has no stamp, and is made again. Raises `SetupError`."""
    folder, lock = project / ".venv", project / "requirements.lock"
    stamp, wanted = folder / ".complete", hashlib.sha256(lock.read_bytes()).hexdigest()
    with alone(project / ".cortex"):
        if stamp.is_file() and stamp.read_text() == wanted and (folder / "bin" / "python").exists():
            stamp.touch()  # for `make`, which compares times
            return
        if importlib.util.find_spec("ensurepip") is None:
            raise SetupError("this Python cannot make environments", "Debian: apt-get install python3-venv")
        with step("Python packages of requirements.lock, hash-checked, into .venv (a few minutes)"):
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", folder])
            _pip(folder, "--require-hashes", "-r", str(lock))
            _pip(folder, "--no-deps", "--no-build-isolation", "-e", str(project))
        stamp.write_text(wanted)


def _pip(folder: Path, *arguments: str) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = run([*pip, *arguments], env={"PIP_USER": "0"}, deadline=3600, check=False)
    if done.returncode:
        errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise SetupError(
            f"pip could not install the packages: {(errors or [done.stderr.strip()[-300:]])[0]}",
            "check the network and pip's index (pip config list), and run this again",
        )


if __name__ == "__main__":
    sys.exit(said(lambda: ensure(PROJECT)))
