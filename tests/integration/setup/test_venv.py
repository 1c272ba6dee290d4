"""The project's own Python environment: whole, or made again, or a sentence that says why not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.engine import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the target `.venv/.complete` needs of this project; its lock file names three packages."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("__pycache__", "bare", "ci"))
    for name in ("Makefile", "pyproject.toml", "README.md"):
        shutil.copyfile(ROOT / name, folder / name)
    (folder / "cortex_ops").mkdir()
    (folder / "cortex_ops" / "__init__.py").write_text("")
    blocks = re.split(r"^(?=[a-z])", (ROOT / "requirements.lock").read_text(), flags=re.M)
    wanted = ("iniconfig==", "setuptools==", "wheel==", "packaging==")
    (folder / "requirements.lock").write_text("".join(b for b in blocks if b.startswith(wanted)))
    return folder


def make(project: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    argv = ["make", ".venv/.complete", *(arguments or (f"PYTHON={sys.executable}",))]
    return subprocess.run(
        argv, cwd=project, env=os.environ | env, capture_output=True, text=True, timeout=200, check=False
    )


def imports(project: Path) -> bool:
    argv = [project / ".venv/bin/python", "-c", "import cortex_ops, iniconfig"]
    return subprocess.run(argv, cwd=project.parent, capture_output=True, check=False).returncode == 0


def test_it_is_made_once_and_made_again_when_it_lacks_something(project: Path) -> None:
    done = make(project)
    assert done.returncode == 0 and imports(project), done.stderr
    argv = [sys.executable, "-m", "deploy.setup.venv"]
    again = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=True)
    assert again.stdout + again.stderr == ""
    os.utime(project / "requirements.lock")  # as a checkout does, with the same content
    assert "requirements.lock" not in make(project).stderr
    (project / ".venv" / "bin" / "python").unlink()  # the Python that it was made of has been removed
    repaired = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)
    assert repaired.returncode == 0 and imports(project), repaired.stderr


def test_one_that_a_killed_set_up_left_half_made_is_made_again(project: Path) -> None:
    begun = subprocess.Popen(
        [sys.executable, "-m", "deploy.setup.venv"], cwd=project, stderr=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + 60
    while not list(project.glob(".venv/lib/python3*/site-packages/pip")):
        assert time.monotonic() < end and begun.poll() is None
        time.sleep(0.02)
    begun.kill()
    begun.wait()
    done = make(project)  # waits for what the killed one left running
    assert done.returncode == 0 and imports(project), done.stderr


def test_two_at_once_take_turns(project: Path) -> None:
    argv = [sys.executable, "-m", "deploy.setup.venv"]
    both = [
        subprocess.Popen(argv, cwd=project, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(2)
    ]
    said = [one.communicate(timeout=200)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0] and imports(project), said
    assert sum("Python packages" in text for text in said) == 1, "the second one made it again"
    assert any(f"waiting for the set-up of {project} (pid " in text for text in said)


def test_without_a_network_it_is_a_sentence_and_nothing_counts_as_made(project: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_FIND_LINKS": ""}
    done = make(project, PIP_NO_CACHE_DIR="1", **nowhere)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "pip could not install the packages: " in done.stderr and "check the network" in done.stderr
    assert not (project / ".venv" / ".complete").exists()


def test_a_package_that_is_not_the_one_of_the_lock_file_is_refused(project: Path) -> None:
    lock = project / "requirements.lock"
    lock.write_text(re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, lock.read_text()))
    done = make(project)
    assert done.returncode != 0 and "DO NOT MATCH THE HASHES" in done.stderr, done.stderr
    assert not (project / ".venv" / ".complete").exists()


def test_a_python_that_is_too_old_or_absent_is_a_sentence(project: Path, tmp_path: Path) -> None:
    # A stand-in for an old Python: the present one, which takes itself for 3.10.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.version_info = (3, 10, 13, 'final', 0)\n")
    old = make(project, PYTHONPATH=str(tmp_path))
    assert old.returncode != 0 and "this is Python 3.10" in old.stderr
    for done in (old, make(project, "PYTHON=python-that-is-not-there")):
        assert "is not Python 3.11 or newer" in done.stderr and "make setup PYTHON=" in done.stderr
        assert "Traceback" not in done.stderr and not (project / ".venv").exists()


def test_a_lock_is_held_until_what_a_killed_set_up_started_has_ended(tmp_path: Path) -> None:
    head = "from pathlib import Path; from deploy.setup.lock import alone; from deploy.setup.shell import run\n"
    head += f"with alone(Path({str(tmp_path)!r})): "
    program = f"touch {tmp_path}/begun; sleep 2; touch {tmp_path}/ended"
    first = subprocess.Popen([sys.executable, "-c", f"{head} run(['sh', '-c', {program!r}])"], cwd=ROOT)
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    subprocess.run([sys.executable, "-c", f"{head} pass"], cwd=ROOT, check=True, timeout=30, capture_output=True)
    assert (tmp_path / "ended").exists()
