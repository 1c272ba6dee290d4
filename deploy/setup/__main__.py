"""`python -m deploy.setup all | engine | images | test-tools | bench-tools | cluster | cluster-down | stop`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from deploy.setup import debian, tools
from deploy.setup.engine import cache_folder, ensure_engine, stop_bare
from deploy.setup.images import ensure_images
from deploy.setup.kinds import istio_kinds
from deploy.setup.lock import PROJECT, alone
from deploy.setup.packages import BENCH_PACKAGES, PROMTOOL_PACKAGES, TEST_PACKAGES
from deploy.setup.shell import said, say, step

ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"


def dagster_home() -> None:
    """Give Dagster its home in this checkout; without it, every run leaves a temporary one behind."""
    home = PROJECT / ".dagster"
    set_aside_damaged(home)
    home.mkdir(exist_ok=True)
    shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    env = PROJECT / ".env"
    lines = [line for line in (env.read_text().splitlines() if env.is_file() else []) if line]
    lines = [line for line in lines if not line.startswith("DAGSTER_HOME=")]
    partial = home / "env.partial"
    partial.write_text("\n".join([*lines, f"DAGSTER_HOME={home}"]) + "\n")
    partial.rename(env)


def set_aside_damaged(home: Path) -> None:
    """Dagster ends in a trace over a database of its own that is none. What is live is in the store, not there."""
    for path in home.glob("**/*.db"):
        with path.open("rb") as file:
            begin = file.read(16)
        if begin not in (b"", b"SQLite format 3\0"):
            aside = home.with_name(f"{home.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
            home.rename(aside)
            say(f"  {path.relative_to(home.parent)} is no database: Dagster begins anew, its old home is {aside}")
            return


def test_tools() -> None:
    """What only the tests need: a browser, raw tools to compare with, the workflow linter, kinds of others."""
    if debian.is_bare_debian():
        debian.ensure(TEST_PACKAGES)
        with alone(cache_folder()):
            unpacked = debian.newer(cache_folder(), "promtool", PROMTOOL_PACKAGES)
            tools.link(unpacked / "usr/bin/promtool", cache_folder() / "bin" / "promtool")
    target = cache_folder() / "bin" / "actionlint"
    if not target.is_file():
        with alone(cache_folder()), step("building actionlint from its Go module (once)"):
            tools.go_install(cache_folder(), ACTIONLINT, target)
    istio_kinds(cache_folder())


def bench_tools() -> None:
    """The raw tools that measurements are taken beside."""
    if debian.is_bare_debian():
        debian.ensure(BENCH_PACKAGES)


def stop() -> None:
    if stop_bare(PROJECT):
        say("✓ stopped the engine and the registry that this project started")


def cluster() -> None:
    from deploy.setup.cluster.up import ensure_cluster

    ensure_cluster()


def cluster_down() -> None:
    from deploy.setup.cluster.up import remove_cluster

    remove_cluster()


def setup(command: str) -> None:
    dagster_home()
    if command == "test-tools":
        test_tools()
        return
    if command == "bench-tools":
        bench_tools()
        return
    record = ensure_engine(PROJECT)
    if command in ("all", "images"):
        ensure_images(PROJECT, record)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.setup")
    apart = {"stop": stop, "cluster": cluster, "cluster-down": cluster_down}
    parser.add_argument("command", choices=("all", "engine", "images", "test-tools", "bench-tools", *apart))
    command = parser.parse_args().command
    return said(apart.get(command, lambda: setup(command)))


if __name__ == "__main__":
    sys.exit(main())
