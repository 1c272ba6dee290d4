"""Debian packages: announced installs, and newer ones unpacked into a private folder.

Where packages come from is taken from this machine's own apt sources and written to no committed file.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.packages import NEWER_PACKAGES
from deploy.setup.shell import SetupError, run, say, step

NEWER_SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
QUIET = {"DEBIAN_FRONTEND": "noninteractive"}
APT = Path("/etc/apt")
NETWORK = "check the network and this machine's apt sources, and run this again"
WAIT = ("-o", "DPkg::Lock::Timeout=300")


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
            run(["apt-get", *WAIT, "update", "-qq"], env=QUIET, remedy=NETWORK)
        argv = ["apt-get", *WAIT, "install", "-y", "-qq", "--no-install-recommends", *missing]
        if run(argv, env=QUIET, check=False).returncode:
            run(["dpkg", "--configure", "-a"], env=QUIET, check=False)  # an installation that was killed
            run(["apt-get", *WAIT, "update", "-qq"], env=QUIET, remedy=NETWORK)  # lists older than the mirror
            run(argv, env=QUIET, remedy=NETWORK)


def _installed(name: str) -> bool:
    done = run(["dpkg-query", "-W", "-f", "${Status}", name], check=False)
    return "install ok installed" in done.stdout


@dataclass(frozen=True)
class Source:
    """One entry of apt's sources."""

    address: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""


def sources(text: str) -> list[Source]:
    """The entries of one file, in either of apt's two formats; disabled and source entries are left out."""
    found = []
    for line in re.findall(r"^deb\s+(.*)$", text, re.M):
        options = re.match(r"\[([^]]*)\]\s+", line)
        words = line[options.end() if options else 0 :].split("#")[0].split()
        signed = re.search(r"signed-by=(\S+)", options[1]) if options else None
        if len(words) >= 2:
            found.append(Source(words[0], (words[1],), tuple(words[2:]), signed[1] if signed else ""))
    for stanza in re.split(r"\n\s*\n", text):
        pairs = re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.M)
        fields = {name.lower(): value.split() for name, value in pairs}
        if "deb" not in fields.get("types", ()) or fields.get("enabled") == ["no"]:
            continue
        for address in fields.get("uris", ()):
            signed_by = fields.get("signed-by", [])
            found.append(
                Source(
                    address,
                    tuple(fields.get("suites", ())),
                    tuple(fields.get("components", ())),
                    signed_by[0] if signed_by and signed_by[0].startswith("/") else "",
                )
            )
    return found


def configured(apt: Path = APT) -> list[Source]:
    """What apt on this machine uses, Debian's and vendors' alike."""
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    known = [f for f in files if f.suffix in (".list", ".sources") and f.is_file()]
    return [entry for file in known for entry in sources(file.read_text())]


def entries(suite: str, apt: Path = APT) -> str:
    """Lines for a new Debian of `suite` that takes its packages, updates and fixes from where this machine does."""
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    found = [
        f"deb {entry.address} {each} main"
        for entry in configured(apt)
        for each in entry.suites
        if each in wanted and "main" in entry.components and entry.signed_by in ("", KEYRING)
    ]
    return "\n".join(dict.fromkeys(found or [f"deb {mirror(apt).address} {suite} main"])) + "\n"


def mirror(apt: Path = APT) -> Source:
    """Where this machine itself takes Debian from: an entry of Debian's own suite, not a vendor's."""
    found = configured(apt)
    own = [e for e in found if "main" in e.components and any(s in _suites() for s in e.suites)]
    own.sort(key=lambda e: (not e.address.rstrip("/").endswith("/debian"), e.signed_by not in ("", KEYRING)))
    if not own:
        raise SetupError("this machine's apt sources name no Debian mirror", "correct /etc/apt/sources.list")
    return own[0]


def _suites() -> tuple[str, ...]:
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        text = ""
    match = re.search(r"^VERSION_CODENAME=(\S+)", text, re.M)
    return (*((match[1],) if match else ()), "stable", "oldstable", "bookworm", "trixie")


def newer(cache: Path, name: str = "newer", packages: tuple[str, ...] = NEWER_PACKAGES) -> Path:
    """Packages of the next release unpacked into the folder `name` of the cache; downloaded once."""
    root, stamp = cache / name, cache / name / ".complete"
    wanted = " ".join(packages)
    if stamp.is_file() and stamp.read_text() == wanted:
        return root
    with step(f"fetching {', '.join(packages)} from Debian {NEWER_SUITE} into a private folder"):
        apt, fresh = cache / f"apt-{name}", cache / f"{name}.partial"
        for folder in (apt, fresh):
            shutil.rmtree(folder, ignore_errors=True)
        for name in ("etc", "lists/partial", "cache/archives/partial", "download"):
            (apt / name).mkdir(parents=True, exist_ok=True)
        source = mirror()
        entry = f"deb [signed-by={source.signed_by or KEYRING}] {source.address} {NEWER_SUITE} main\n"
        (apt / "etc" / "sources.list").write_text(entry)
        options = {
            "Dir::Etc::SourceList": apt / "etc" / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State::Lists": apt / "lists",
            "Dir::Cache": apt / "cache",
            "APT::Sandbox::User": "root",
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        run(["apt-get", *flags, "update", "-qq", "--error-on=any"], remedy=NETWORK)
        run(["apt-get", *flags, "download", "-qq", *packages], cwd=apt / "download", remedy=NETWORK)
        for package in sorted((apt / "download").glob("*.deb")):
            run(["dpkg", "-x", package, fresh])
        (fresh / ".complete").write_text(wanted)
        shutil.rmtree(root, ignore_errors=True)
        fresh.rename(root)
        shutil.rmtree(apt, ignore_errors=True)
    return root
