"""Debian packages: announced installs, and newer ones unpacked into a private folder."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from deploy.setup.packages import NEWER_PACKAGES
from deploy.setup.shell import SetupError, run, say, step

NEWER_SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


def is_bare_debian() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


def ensure(packages: dict[str, str]) -> None:
    """Install what is missing, each with its reason."""
    missing = [name for name in packages if not _installed(name)]
    if not missing:
        return
    for name in missing:
        say(f"  Debian package {name}: {packages[name]}")
    with step(f"installing {', '.join(missing)}"):
        lists = Path("/var/lib/apt/lists")
        fresh = any(p.name.endswith("Packages") or "_Packages." in p.name for p in lists.glob("*"))
        if not fresh or time.time() - lists.stat().st_mtime > 86400:
            run(["apt-get", "update", "-qq"], env=QUIET)
        argv = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        if run(argv, env=QUIET, check=False).returncode:
            run(["apt-get", "update", "-qq"], env=QUIET)  # lists older than the mirror
            run(argv, env=QUIET)


def _installed(name: str) -> bool:
    done = run(["dpkg-query", "-W", "-f", "${Status}", name], check=False)
    return "install ok installed" in done.stdout


def mirror() -> str:
    """The address that this machine itself takes Debian from."""
    for path in sorted(Path("/etc/apt").glob("sources.list*")) + sorted(Path("/etc/apt/sources.list.d").glob("*")):
        if not path.is_file():
            continue
        text = path.read_text()
        for match in re.finditer(r"^URIs:\s*(\S+)|^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", text, re.M):
            address = match[1] or match[2]
            if address.rstrip("/").endswith("/debian"):
                return address
    raise SetupError("this machine's apt sources name no Debian mirror", "correct /etc/apt/sources.list")


def newer(cache: Path) -> Path:
    """The newer packages unpacked below the cache; downloaded once."""
    root, stamp = cache / "newer", cache / "newer" / ".complete"
    wanted = " ".join(NEWER_PACKAGES)
    if stamp.is_file() and stamp.read_text() == wanted:
        return root
    with step(f"fetching {', '.join(NEWER_PACKAGES)} from Debian {NEWER_SUITE} into a private folder"):
        apt = cache / "apt-newer"
        for folder in ("etc", "lists/partial", "cache/archives/partial", "download"):
            (apt / folder).mkdir(parents=True, exist_ok=True)
        (apt / "etc" / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {NEWER_SUITE} main\n")
        options = {
            "Dir::Etc::SourceList": apt / "etc" / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": apt / "lists",
            "Dir::Cache": apt / "cache",
            "APT::Sandbox::User": "root",
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        run(["apt-get", *flags, "update", "-qq"])
        run(["apt-get", *flags, "download", "-qq", *NEWER_PACKAGES], cwd=apt / "download")
        fresh = cache / "newer.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        for package in sorted((apt / "download").glob("*.deb")):
            run(["dpkg", "-x", package, fresh])
        (fresh / ".complete").write_text(wanted)
        shutil.rmtree(root, ignore_errors=True)
        fresh.rename(root)
        shutil.rmtree(apt, ignore_errors=True)
    return root
