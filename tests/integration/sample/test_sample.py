"""The sample as a whole: it is live, each of its parts is needed, and its migrations keep the old version serving."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from cortex_ops import pipeline
from cortex_ops.acceptance.run import run_tests
from cortex_ops.kernel.errors import RefusedError
from cortex_ops.kernel.values import Verdict
from tests.support.engine import docker
from tests.support.sample import commit, sample_project
from tests.support.tiny import Tiny

# Stopping a part must fail the test that is named after what the part does (tests/integration/README.md there).
PARTS = {
    "postgres": "Postgres keeps a task",
    "nats": "NATS carries a task from the outbox",
    "redis": "Redis serves the second read of a finished task",
    "qdrant": "Qdrant recalls what an earlier task taught",
    "agents": "agents do a task and report its end",
    "model-gateway": "model-gateway answers, or says itself that no model does",
    "mcp-registry": "mcp-registry gives the tool that solves a task",
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with sample_project(tmp_path_factory.mktemp("sample")) as project:
        step = project.release()
        assert step.ok, step.message
        yield project


def judge(sample: Tiny) -> Verdict:
    """Run the integration tests against what is live, through the candidate's entrance."""
    w = sample.wire()
    target = w.target("local")
    live = w.history("local").live()
    assert live is not None and live.outcome is not None
    placed = w.history("local").placed(live.outcome.serves)
    assert placed is not None
    target.offer(placed)
    try:
        return run_tests(target, placed, deadline=120)
    finally:
        target.retract_candidate()


def test_everything_passes_and_both_pages_answer(sample: Tiny) -> None:
    endpoints = sample.wire().target("local").endpoints()
    assert set(endpoints) == {"api", "cortex-web"}
    with urllib.request.urlopen(endpoints["api"] + "/version", timeout=5) as answer:
        assert json.loads(answer.read())["service"] == "api"
    with urllib.request.urlopen(endpoints["cortex-web"] + "/", timeout=5) as answer:
        assert b"<html" in answer.read().lower()
    live = sample.wire().history("local").live()
    assert live is not None and live.verdict is not None and len(live.verdict.cases) >= 14


def test_it_is_healthy_from_outside_but_for_the_backup_that_it_does_not_have(sample: Tiny) -> None:
    step = pipeline.health(sample.wire(), "local")
    assert {f.object for f in step.findings if not f.ok} == {"backup"}


PROBES = ("/live", "/ready", "/health", "/metrics", "/version")

ASK = """
const ask = async (path) => {
  const answer = await fetch(`http://127.0.0.1:${process.env.PORT}${path}`);
  return [path, [answer.status, await answer.text()]];
};
console.log(JSON.stringify(Object.fromEntries(await Promise.all(process.argv.slice(1).map(ask)))));
"""


def test_every_service_answers_its_probes_and_measures_itself(sample: Tiny) -> None:
    for service in sample.stack()["services"]:
        for name in running(sample, service):
            answers = json.loads(docker("exec", name, "node", "--input-type=module", "-e", ASK, *PROBES))
            assert {path: status for path, (status, _) in answers.items()} == dict.fromkeys(PROBES, 200), service
            assert json.loads(answers["/version"][1])["service"] == service
            assert f'cortex_release_info{{service="{service}",release="r1"' in answers["/metrics"][1]
            assert 'http_requests_total{method="GET",route="/ready",status="200"}' in answers["/metrics"][1]


def test_every_service_logs_json_and_one_trace_id_crosses_them_all(sample: Tiny) -> None:
    urls = sample.wire().target("local").endpoints()
    trace = secrets.token_hex(16)
    token = docker("exec", running(sample, "api")[0], "node", "apps/api/token.mjs", "demo")
    headers = {"Authorization": f"Bearer {token}", "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}

    def ask(url: str, body: bytes | None = None) -> str:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
            return str(answer.read().decode())

    task = json.loads(ask(urls["api"] + "/v1/tasks", json.dumps({"text": "sum of 2 and 3"}).encode()))
    end = time.monotonic() + 30
    while task["state"] == "submitted" and time.monotonic() < end:
        time.sleep(0.2)
        task = json.loads(ask(f"{urls['api']}/v1/tasks/{task['id']}"))
    assert task["state"] == "completed", task
    assert f'data-task="{task["id"]}"' in ask(urls["cortex-web"] + "/")
    for service in sample.stack()["services"]:
        text = [docker("logs", name) for name in running(sample, service)]
        lines = [json.loads(line) for one in text for line in one.splitlines()]
        assert {line["service"] for line in lines} == {service}
        assert trace in {line.get("trace_id") for line in lines}, service


def running(sample: Tiny, service: str) -> list[str]:
    names = sample.containers(service=service)
    names = [n for n in names if docker("inspect", "-f", "{{.State.Running}}", n) == "true"]
    assert names, f"{service} does not run"
    return names


@pytest.mark.parametrize("part", PARTS)
def test_stopping_it_fails_the_test_named_after_it(sample: Tiny, part: str) -> None:
    names = running(sample, part)
    for name in names:
        docker("stop", "-t", "3", name)
    try:
        verdict = judge(sample)
    finally:
        for name in names:
            docker("start", name)
        wait_healthy(names)
    failed = {case.name for case in verdict.cases if case.outcome == "failed"}
    assert not verdict.passed
    assert PARTS[part] in failed


def wait_healthy(names: list[str]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if all(docker("inspect", "-f", "{{.State.Health.Status}}", n) == "healthy" for n in names):
            return
        time.sleep(0.3)
    raise AssertionError(f"{names} did not become healthy again")


def add_migration(sample: Tiny, kind: str, sql: str) -> Path:
    folder = sample.monorepo / "apps" / "cortex-os" / "migrations"
    number = max(int(p.name[:4]) for p in folder.glob("*.sql")) + 1
    path = folder / f"{number:04d}_test.sql"
    path.write_text(f"-- {kind}\n{sql}\n")
    schema = sample.monorepo / "apps" / "cortex-os" / "schema.json"
    schema.write_text(json.dumps({**json.loads(schema.read_text()), "max": number}))
    return path


def test_a_broken_release_with_a_compatible_migration_leaves_the_old_version_serving_on_the_new_schema(
    sample: Tiny,
) -> None:
    before = sample.wire().history("local").live()
    assert before is not None
    add_migration(sample, "compatible", "ALTER TABLE tasks ADD COLUMN IF NOT EXISTS note text;")
    server = sample.monorepo / "packages" / "agents" / "main.mjs"
    kept = server.read_text()
    server.write_text("process.exit(7)\n" + kept)
    try:
        with pytest.raises(Exception, match="agents-r"):
            sample.release()
    finally:
        server.write_text(kept)
    live = sample.wire().history("local").live()
    assert live is not None and live.seq == before.seq
    assert column_exists(sample), "the migration was applied"
    assert judge(sample).passed, "the old version works on the migrated schema"


def column_exists(sample: Tiny) -> bool:
    (name,) = sample.containers(service="postgres")
    query = "SELECT count(*) FROM information_schema.columns WHERE table_name='tasks' AND column_name='note'"
    return docker("exec", name, "psql", "-U", "cortex", "-d", "cortex", "-tAc", query) == "1"


def test_a_breaking_migration_is_refused_before_anything_changes(sample: Tiny) -> None:
    path = add_migration(sample, "breaking", "ALTER TABLE tasks DROP COLUMN note;")
    before = sample.wire().history("local").sequences()
    try:
        with pytest.raises(RefusedError, match="is declared breaking"):
            sample.release()
    finally:
        path.unlink()
        schema = sample.monorepo / "apps" / "cortex-os" / "schema.json"
        schema.write_text(json.dumps({**json.loads(schema.read_text()), "max": int(path.name[:4]) - 1}))
    assert sample.wire().history("local").sequences() == before


def test_production_takes_what_another_environment_proved_and_never_builds(sample: Tiny) -> None:
    from tests.support.tiny import free_port

    w = sample.wire()
    folder = sample.root / ".cortex" / "secrets" / "local"
    change = {
        "production": {
            "target": "compose",
            "protected": True,
            "from": "local",
            "secrets_folder": str(folder),
            "ports": {"api": str(free_port()), "cortex-web": str(free_port())},
            "overrides": {n: {"replicas": 1} for n in ("cortex-os", "api", "cortex-web")},
        }
    }
    sample.stack({"environments": {"production": None}})
    sample.stack({"environments": change})
    # A release of `local` records the stack file with this production in it.
    (sample.monorepo / "packages" / "agents" / "README.md").write_text("changed\n")
    commit(sample)
    released = sample.release("local")
    assert released.ok
    (sample.monorepo / "apps" / "api" / "main.mjs").write_text("this would not even parse (\n")
    step = sample.release("production")
    assert step.ok
    assert step.record.intent.lock == released.record.intent.lock
    assert step.record.intent.promoted_from.startswith("local@")
    assert w.history("production").live() is not None


def test_what_was_built_from_a_dirty_tree_is_refused_where_it_is_protected(sample: Tiny) -> None:
    before = sample.wire().history("production").sequences()
    subprocess.run(["git", "checkout", "-q", "apps/api/main.mjs"], cwd=sample.monorepo, check=True)
    server = sample.monorepo / "apps" / "api" / "main.mjs"
    server.write_text(server.read_text() + "// never committed\n")
    released = sample.release("local")
    assert released.ok and released.record.intent.dirty, released.message
    with pytest.raises(RefusedError, match="built from a tree with uncommitted changes"):
        sample.release("production")
    assert sample.wire().history("production").sequences() == before
