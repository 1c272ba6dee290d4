"""The Dagster page as a person sees it, in a real Chromium.

The steps are stand-ins; the server, what runs left in it, and the browser are real. Pictures of what was seen
are kept in `.cortex/test-results/pages`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import stand_in_project
from tests.support.browser import Browser, chromium
from tests.support.engine import ROOT
from tests.support.tiny import free_port

PICTURES = ROOT / ".cortex" / "test-results" / "pages"
MODULE = "tests.support.stand_in_definitions"


def environ(root: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CORTEX_OPS_", "STAND_IN_"))}
    home = {"DAGSTER_HOME": str(root / ".dagster"), "CORTEX_OPS_PROJECT": str(root), "PYTHONPATH": str(ROOT)}
    return {**kept, **home, "PYTHONWARNINGS": "ignore"}


@contextmanager
def served(root: Path, module: str) -> Iterator[str]:
    """The page's address while its server runs."""
    port = free_port()
    with (root / "webserver.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-m", module],
            cwd=root, env=environ(root), stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait_until_up(f"http://127.0.0.1:{port}/server_info", root / "webserver.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_up(url: str, log: Path) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            assert time.monotonic() < until, log.read_text()[-2000:]
            time.sleep(0.5)


def execute(root: Path, job: str) -> None:
    argv = [sys.executable, "-m", "dagster", "job", "execute", "-m", MODULE, "-j", job]
    tags = json.dumps({"dagster/partition": "local"})
    subprocess.run([*argv, "--tags", tags], cwd=root, env=environ(root), capture_output=True, timeout=90, check=True)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Browser, str]]:
    root = tmp_path_factory.mktemp("pages") / "site"
    stand_in_project.create(root)
    for job in ("release", "backup", "restore_drill"):
        execute(root, job)
    with served(root, MODULE) as url, chromium(root / "profile") as browser:
        browser.open(url)
        browser.wait_for("Skip")  # the invitation to Dagster's community, once for each new browser
        browser.click("Skip")
        yield browser, url


def see(page: tuple[Browser, str], path: str, *words: str, picture: str = "") -> str:
    browser, url = page
    browser.open(url + path)
    text = browser.wait_for(*words)
    if picture:
        browser.picture(PICTURES / f"{picture}.png")
    return text


def test_the_lineage_shows_the_groups_of_the_design(page: tuple[Browser, str]) -> None:
    text = see(page, "/asset-groups", "Global asset lineage", "source", "images", "manifests", picture="lineage")
    assert "release" in text and "backups" in text


def test_the_release_says_what_is_live_and_links_to_it(page: tuple[Browser, str]) -> None:
    see(
        page,
        "/assets/release",
        "What is live: promoted on a passed verdict",
        "r7",
        "http://127.0.0.1:8080",
        picture="release",
    )
    browser, _ = page
    assert "http://127.0.0.1:8080" in browser.script("[...document.querySelectorAll('a')].map(a => a.href).join(' ')")


def test_an_image_shows_its_digest_and_its_gates(page: tuple[Browser, str]) -> None:
    see(page, "/assets/images/api", "The image of api, pinned by content", "sha256:", "size (bytes)")
    see(page, "/assets/images/api?view=checks", "policy", "own_tests", picture="image-checks")


def test_the_verdict_is_a_table_of_tests(page: tuple[Browser, str]) -> None:
    see(page, "/assets/integration_tests", "tests passed", "the api answers", "0.50", picture="verdict")


def test_the_drill_shows_the_measured_recovery_time(page: tuple[Browser, str]) -> None:
    see(page, "/assets/restore_drill", "measured recovery time (s)", "2.5", picture="drill")


def test_every_job_is_listed_and_offers_its_environments(page: tuple[Browser, str]) -> None:
    see(page, "/jobs", "build", "release", "rollback", "health", "backup", "restore_drill", "upkeep", picture="jobs")
    see(page, f"/locations/{MODULE}/jobs/rollback/partitions", "local", "staging")


def test_automation_is_shown_as_running(page: tuple[Browser, str]) -> None:
    names = ("backup", "restore_drill", "health", "upkeep")
    see(
        page, "/automation", *(f"{name}_schedule" for name in names), "failed_runs", "dead_runs", "releases_elsewhere"
    )
    browser, _ = page
    browser.wait_for("Every 10 minutes")
    browser.picture(PICTURES / "automation.png")
    browser.open(f"{page[1]}/locations/{MODULE}/schedules/backup_schedule")
    browser.wait_for("At 03:00 AM UTC", "Running")


def test_a_broken_stack_file_is_shown_on_the_page_with_its_places(tmp_path: Path) -> None:
    root = tmp_path / "site"
    stand_in_project.create(root)
    stack = root / "deploy" / "stack.yaml"
    stack.write_text(stack.read_text().replace('"version": "1"', '"version": 1'))
    with served(root, "cortex_ops.definitions") as url, chromium(root / "profile") as browser:
        browser.open(f"{url}/assets/stack_file_is_broken")
        browser.wait_for("The stack file does not load", "stack.yaml:1:", "version: found 1 (a number)")
        browser.picture(PICTURES / "broken.png")
