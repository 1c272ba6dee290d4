"""The workflow: judged by actionlint, and every `run:` step executed as a runner would, on a tiny system.

The scripts, the engine, the builds, the registry login and the releases are real; GitHub's own steps
(`uses:`) are not run here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.setup.engine import cache_folder
from tests.support.engine import ROOT, record
from tests.support.tiny import Tiny, free_port, tiny_project

WORKFLOW = ROOT / ".github" / "workflows" / "deploy.yml"
PASSWORD = "sentinel-registry-password-7c1f"
SECRET = "sentinel-api-key-51e0"


def jobs() -> dict[str, Any]:
    return dict(yaml.safe_load(WORKFLOW.read_text())["jobs"])


def run_steps() -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in jobs().items() for step in job["steps"] if "run" in step]


class Runner:
    """What a runner gives to a step: a shell, files for variables and the summary, the job's environment."""

    def __init__(self, tiny: Tiny, folder: Path) -> None:
        self.tiny = tiny
        self.folder = folder
        for name in ("env", "summary"):
            (folder / name).touch()
        self.docker_config = folder / "docker-config"
        self.docker_config.mkdir()

    def environ(self, step: dict[str, Any], **given: str) -> dict[str, str]:
        # As an engine that is found: nothing may be started or installed for it.
        env = self.tiny.environ(DOCKER_HOST=record()["host"], PYTHONPATH=str(ROOT))
        env.pop("DAGSTER_HOME", None)
        env |= {"GITHUB_ENV": str(self.folder / "env"), "GITHUB_STEP_SUMMARY": str(self.folder / "summary")}
        env |= {"RUNNER_TEMP": str(self.folder), "GITHUB_ACTOR": "octocat"}
        env |= dict.fromkeys(step.get("env", {}), "") | given
        for line in (self.folder / "env").read_text().splitlines():
            name, _, value = line.partition("=")
            env[name] = value
        return env

    def step(self, step: dict[str, Any], **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=ROOT, env=self.environ(step, **given), capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with tiny_project(tmp_path_factory.mktemp("ci")) as tiny:
        places = {
            name: {"ports": {"api": str(free_port())}, "secrets_folder": f"../secrets/{name}", **more}
            for name, more in {"staging": {}, "production": {"protected": True, "from": "staging"}}.items()
        }
        tiny.stack({
            "environments": places,
            "secrets": {"api-key": {"from": "file"}},
            "services": {"api": {"secrets": {"API_KEY_FILE": "api-key"}}},
        })  # fmt: skip
        yield Runner(tiny, tmp_path_factory.mktemp("runner"))


def live(runner: Runner, env: str) -> Any:
    return runner.tiny.wire().history(env).live()


def test_actionlint_finds_nothing() -> None:
    program = cache_folder() / "bin" / "actionlint"
    assert program.is_file(), "run `python -m deploy.setup test-tools`"
    done = subprocess.run(
        [program, "-no-color", WORKFLOW], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_would_find_something(tmp_path: Path) -> None:
    broken = tmp_path / "deploy.yml"
    broken.write_text(WORKFLOW.read_text().replace("github.event_name == 'push'", "github.event_nam == 'push'"))
    program = cache_folder() / "bin" / "actionlint"
    done = subprocess.run([program, "-no-color", broken], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0 and "event_nam" in done.stdout


def test_each_event_does_its_one_job() -> None:
    text = yaml.safe_load(WORKFLOW.read_text())
    triggers = text[True]  # `on` is a truth value to a YAML 1.1 reader
    assert set(triggers) == {"pull_request", "push", "release"}
    assert triggers["push"]["branches"] == ["main"] and triggers["release"]["types"] == ["published"]
    assert {name: job["if"] for name, job in jobs().items()} == {
        "build": "github.event_name == 'pull_request'",
        "staging": "github.event_name == 'push'",
        "production": "github.event_name == 'release'",
    }


def test_an_environment_has_one_concurrency_group_that_never_cancels_a_release() -> None:
    for name in ("staging", "production"):
        assert jobs()[name]["concurrency"] == {"group": f"release-{name}", "cancel-in-progress": False}
        assert jobs()[name]["environment"] == name


def test_no_secret_reaches_a_pull_request_or_a_command_line() -> None:
    assert "secrets." not in json.dumps(jobs()["build"])
    for _, step in run_steps():
        assert "${{" not in step["run"], "values enter by variables: a shell would run what is in them"


def test_a_pull_request_builds_with_a_home_of_its_own(runner: Runner) -> None:
    for step in [step for name, step in run_steps() if name == "build"]:
        done = runner.step(step)
        assert done.returncode == 0, done.stdout + done.stderr
    homes = [line for line in (runner.folder / "env").read_text().splitlines() if line.startswith("DAGSTER_HOME=")]
    assert homes[0] == f"DAGSTER_HOME={runner.folder}/dagster-home"
    assert (runner.folder / "dagster-home" / "dagster.yaml").read_text() == (ROOT / "dagster.yaml").read_text()
    assert live(runner, "staging") is None, "building changes no environment"


def given(runner: Runner, step: dict[str, Any]) -> dict[str, str]:
    """What the CI's own variables and secrets would be; the login has a client configuration of its own."""
    if "login" in step["run"]:
        return {
            "CORTEX_OPS_REGISTRY": f"{record().get('mirror') or '127.0.0.1:5000'}/ci",
            "CORTEX_OPS_DOCKER": record()["docker"], "DOCKER_CONFIG": str(runner.docker_config),
            "REGISTRY_USER": "ci", "REGISTRY_PASSWORD": PASSWORD,
        }  # fmt: skip
    if "secrets " in step["run"]:
        return {"ENVIRONMENT_SECRETS": json.dumps({"api-key": SECRET})}
    return {}


@pytest.mark.parametrize("env", ["staging", "production"])
def test_a_push_releases_to_staging_and_a_published_release_promotes_it(runner: Runner, env: str) -> None:
    for step in [step for name, step in run_steps() if name == env]:
        done = runner.step(step, **given(runner, step))
        text = done.stdout + done.stderr
        assert done.returncode == 0, f"{step['name']}: {text}"
        assert PASSWORD not in text and SECRET not in text
        assert "building" not in text or env == "staging", "production never builds"
    one = live(runner, env)
    assert one is not None and one.verdict.passed and one.intent.actor == "octocat"
    assert f"### {env}" in (runner.folder / "summary").read_text()
    assert (runner.docker_config / "config.json").is_file()
    secret = runner.tiny.root / "secrets" / env / "api-key"
    assert secret.read_text() == SECRET and secret.stat().st_mode & 0o777 == 0o600


def test_production_runs_the_digests_that_staging_tested(runner: Runner) -> None:
    staging, production = live(runner, "staging"), live(runner, "production")
    assert production.intent.promoted_from == f"staging@{staging.seq}"
    assert production.intent.lock.images == staging.intent.lock.images


def test_a_rejected_release_fails_the_step_with_its_cause_in_the_last_lines(runner: Runner) -> None:
    runner.tiny.answer("bad", expected="good")
    (step,) = [step for name, step in run_steps() if name == "staging" and "run release" in step["run"]]
    done = runner.step(step)
    assert done.returncode != 0
    assert "expected good, got bad" in "\n".join(done.stderr.strip().splitlines()[-5:])


def test_a_login_without_its_secrets_is_one_sentence(runner: Runner) -> None:
    (step,) = [step for name, step in run_steps() if name == "staging" and "login" in step["run"]]
    done = runner.step(step, CORTEX_OPS_REGISTRY="127.0.0.1:5000/ci")
    assert done.returncode == 2 and "REGISTRY_USER" in done.stderr and "Traceback" not in done.stderr


def test_secrets_that_are_no_json_are_one_sentence_that_does_not_show_them(runner: Runner) -> None:
    (step,) = [step for name, step in run_steps() if name == "staging" and "ci/secrets" in step["run"]]
    done = runner.step(step, ENVIRONMENT_SECRETS=SECRET)
    assert done.returncode == 1 and "no JSON object" in done.stderr
    assert SECRET not in done.stderr and "Traceback" not in done.stderr


def test_the_jobs_whose_steps_are_executed_here_are_all_there_are() -> None:
    assert {name for name, _ in run_steps()} == {"build", "staging", "production"}


def test_scripts_are_executable() -> None:
    scripts = [path for path in (ROOT / "deploy" / "ci").iterdir() if path.is_file()]
    assert scripts and all(os.access(path, os.X_OK) for path in scripts)
