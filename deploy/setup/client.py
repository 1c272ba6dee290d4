"""The docker CLI and its plugins for an engine that is somebody else's: theirs are used wherever they are new enough.

What is missing goes into a private plugins folder of this project; nothing of the person's own is changed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from deploy.setup import debian, tools
from deploy.setup.lock import alone
from deploy.setup.shell import SetupError, run, say

# Compose 5 refuses to build with an older buildx; `!reset`, `develop.watch` and friends need this Compose.
OLDEST_PLUGIN = {"buildx": (0, 17), "compose": (2, 24)}


def cli(cache: Path) -> str:
    """The docker CLI on PATH, else one unpacked (never installed) from Debian's packages."""
    if own := shutil.which("docker"):
        return own
    private = cache / "newer" / "usr" / "bin" / "docker"
    if not private.is_file() and debian.is_bare_debian():
        with alone(cache):
            debian.newer(cache)
    if not private.is_file():
        raise SetupError("an engine answers and no docker CLI is on PATH", "install the docker CLI")
    say("  no docker CLI on PATH: using one from a private folder")
    return str(private)


def plugin_version(docker: str, plugin: str, config: Path | None = None) -> tuple[int, int] | None:
    """(major, minor) of a plugin; None when the CLI has none."""
    env = {"DOCKER_CONFIG": str(config)} if config else {}
    done = run([docker, plugin, "version"], env=env, check=False, deadline=30)
    match = re.search(r"\bv?(\d+)\.(\d+)\.\d+", done.stdout)
    return (int(match[1]), int(match[2])) if done.returncode == 0 and match else None


def config_folder(project: Path, docker: str, cache: Path) -> str:
    """Empty when the CLI's own plugins will do; else a DOCKER_CONFIG folder that adds the missing ones to it."""
    folder = project / ".cortex" / "docker-config"
    own = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser()
    if own.resolve() == folder.resolve():
        own = Path("~/.docker").expanduser()
    replaced: dict[str, Path] = {}
    for plugin, oldest in OLDEST_PLUGIN.items():
        version = plugin_version(docker, plugin, own)
        if version is not None and version >= oldest:
            continue
        has = f"{plugin} {version[0]}.{version[1]}" if version else f"no {plugin} plugin"
        say(f"  the docker CLI has {has}, {oldest[0]}.{oldest[1]} is needed: using a private one")
        with alone(cache):
            replaced[f"docker-{plugin}"] = tools.buildx(cache) if plugin == "buildx" else _compose(project, cache)
    if not replaced:
        return ""
    _mirror(own, folder, replaced)
    for name in replaced:
        plugin = name.removeprefix("docker-")
        version = plugin_version(docker, plugin, folder)
        if version is None or version < OLDEST_PLUGIN[plugin]:  # `cliPluginsExtraDirs` comes before all folders
            raise SetupError(f"the docker CLI takes an old {plugin} from a folder of its own", f"update {plugin}")
    return str(folder)


def _compose(project: Path, cache: Path) -> Path:
    own = project / ".venv" / "bin" / "docker-compose"
    return own if own.is_file() else tools.compose(cache)


def _mirror(own: Path, folder: Path, replaced: dict[str, Path]) -> None:
    """The person's configuration by link, logins and contexts included, and our plugins beside theirs."""
    plugins = folder / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    for stale in (*folder.iterdir(), *plugins.iterdir()):
        if stale.is_symlink():
            stale.unlink()
    for source, target in ((own, folder), (own / "cli-plugins", plugins)):
        for entry in source.iterdir() if source.is_dir() else ():
            if entry.name not in ("cli-plugins", *replaced) and not (target / entry.name).exists():
                tools.link(entry.resolve(), target / entry.name)
    for name, program in replaced.items():
        tools.link(program, plugins / name)
