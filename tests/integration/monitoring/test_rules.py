"""Prometheus's own tool reads what is rendered, and each alert is seen firing and seen silent.

What is expected was written by thinking about what an alert means, never copied from what came out.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortex_ops.render.monitoring import monitoring_files
from cortex_ops.render.monitoring.rules import ALERTS
from deploy.setup.engine import cache_folder
from tests.support.cluster_inputs import Document, inputs

JOB = "cortex-local"
PODS = {"cortex-os": 3, "agents": 1, "api": 1, "cortex-web": 1, "mcp-registry": 1, "model-gateway": 1}
Series = dict[str, str]


def rendered(kind: str, **more: Any) -> list[Document]:
    def watch(document: Document) -> None:
        document["environments"]["local"]["kubernetes"] |= {
            "monitoring": kind,
            "monitoring_namespace": "watch",
            **more,
        }

    return [one for text in monitoring_files(inputs(watch)).values() for one in yaml.safe_load_all(text)]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    own = cache_folder() / "bin" / "promtool"
    program = own if own.exists() else shutil.which("promtool")
    assert program, "promtool is missing: make test fetches it"
    argv = [program, *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ConfigMap as a pod sees it."""
    folder = tmp_path_factory.mktemp("prometheus")
    found = rendered("prometheus", alertmanager="http://alerts.watch.svc:9093")
    (config,) = [one for one in found if one["kind"] == "ConfigMap"]
    for name, text in config["data"].items():
        (folder / name).write_text(text)
    return folder


def undiscovered(folder: Path, into: Path) -> Path:
    """The same without discovery in Kubernetes, which Debian's build of the tool leaves out and calls unknown."""
    shutil.copytree(folder, into)
    config = into / "prometheus.yml"
    document = yaml.safe_load(config.read_text())
    for scrape in document["scrape_configs"]:
        del scrape["kubernetes_sd_configs"]
    config.write_text(yaml.safe_dump(document))
    return config


def test_the_configuration_is_one_that_prometheus_starts_with(folder: Path, tmp_path: Path) -> None:
    done = promtool("check", "config", undiscovered(folder, tmp_path / "x"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_of_the_whole_configuration_nothing_is_unknown_but_what_debian_left_out(folder: Path) -> None:
    done = promtool("check", "config", folder / "prometheus.yml")
    unknown = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "not found in type" in line]
    assert [one for one in unknown if "field kubernetes_sd_configs not found" not in one] == []
    assert done.returncode == 0 or len(unknown) == 1, done.stdout + done.stderr


def test_a_configuration_with_a_slip_is_refused(folder: Path, tmp_path: Path) -> None:
    config = undiscovered(folder, tmp_path / "x")
    config.write_text(config.read_text().replace("relabel_configs", "relabel_config"))
    assert promtool("check", "config", config).returncode == 1


def test_the_rules_are_rules_and_none_is_there_twice(folder: Path) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", folder / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_operators_rules_are_rules(tmp_path: Path) -> None:
    (rule,) = [one for one in rendered("operator") if one["kind"] == "PrometheusRule"]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr


# -- what fires, and when ----------------------------------------------------------------------------------------


def series(name: str, service: str, pod: int = 0, **labels: str) -> str:
    """One series as Prometheus stores it after scraping a replica."""
    target = {
        "job": JOB,
        "namespace": JOB,
        "service": service,
        "pod": f"{service}-{pod}",
        "instance": f"10.0.{sorted(PODS).index(service)}.{pod}:80",
    }
    pairs = ",".join(f'{key}="{value}"' for key, value in {**target, **labels}.items())
    return f"{name}{{{pairs}}}"


def healthy() -> Series:
    """Every replica answers, for two hours. Times are minutes."""
    return {series("up", service, pod): "1x120" for service, count in PODS.items() for pod in range(count)}


def up(service: str, values: str, pod: int = 0) -> Series:
    return {series("up", service, pod): values}


def without(service: str, *pods: int) -> Series:
    gone = [series("up", service, pod) for pod in (pods or range(PODS[service]))]
    return {name: values for name, values in healthy().items() if name not in gone}


def requests(service: str, status: str, values: str, route: str = "/v1/tasks") -> Series:
    return {series("http_requests_total", service, method="GET", route=route, status=status): values}


def durations(service: str, per_minute: dict[str, int], route: str = "/v1/tasks") -> Series:
    """A histogram that grows evenly: bound → requests a minute that took no longer."""
    out = {
        series("http_request_duration_seconds_bucket", service, route=route, le=bound): f"0+{count}x120"
        for bound, count in per_minute.items()
    }
    return out | {series("http_request_duration_seconds_count", service, route=route): f"0+{per_minute['+Inf']}x120"}


def probes(service: str, good: str, bad: str, pod: int = 0) -> Series:
    return {
        series("http_requests_total", service, pod, method="GET", route="/ready", status="200"): good,
        series("http_requests_total", service, pod, method="GET", route="/ready", status="503"): bad,
    }


def orders(completed: int, failed: int) -> Series:
    return {
        series("cortex_orders_total", "agents", state="completed"): f"0+{completed}x120",
        series("cortex_orders_total", "agents", state="failed"): f"0+{failed}x120",
    }


@dataclass(frozen=True)
class Fired:
    """One alert that is expected: its own labels, and the two texts that a person reads."""

    severity: str
    labels: dict[str, str]
    summary: str
    description: str


@dataclass(frozen=True)
class Case:
    alert: str
    minute: int
    series: Series
    fired: tuple[Fired, ...] = ()


def pod_labels(service: str, pod: int = 0) -> dict[str, str]:
    return {"job": JOB, "service": service, "pod": f"{service}-{pod}"}


API_DOWN = Fired(
    "critical",
    {"job": JOB, "service": "api"},
    "api is down",
    "No replica of api answers, or there is none.",
)
OS_DOWN = Fired(
    "critical",
    {"job": JOB, "service": "cortex-os"},
    "cortex-os is down",
    "No replica of cortex-os answers, or there is none.",
)
OS_REPLICA_DOWN = Fired(
    "warning",
    {**pod_labels("cortex-os", 1), "namespace": JOB, "instance": "10.0.2.1:80"},
    "A replica of cortex-os is down",
    "cortex-os-1 does not answer, while others of cortex-os do.",
)
OS_MISSING = Fired(
    "warning",
    {"job": JOB, "service": "cortex-os"},
    "cortex-os has too few replicas",
    "There are 2 pods of cortex-os where at least 3 should be. The events of its Deployment say why.",
)
API_NOT_READY = Fired(
    "warning",
    pod_labels("api"),
    "api-0 is not ready",
    "Every readiness probe of api-0 fails: something that api needs is away. Its /health says what.",
)
API_ERRORS = Fired(
    "critical",
    {"job": JOB, "service": "api"},
    "api answers with errors",
    "10% of the requests to api end with 5xx.",
)
API_SLOW = Fired(
    "warning",
    {"job": JOB, "service": "api"},
    "api is slow",
    "One request in twenty to api takes more than 3.75s.",
)
AGENTS_RESTARTING = Fired(
    "warning",
    {**pod_labels("agents"), "namespace": JOB, "instance": "10.0.0.0:80"},
    "agents-0 restarts again and again",
    "The process in agents-0 started anew 3 times within 30 minutes.",
)
API_MEMORY = Fired(
    "warning",
    pod_labels("api"),
    "api-0 is about to run out of memory",
    "api-0 holds 240MiB, more than nine tenths of its limit.",
)
AGENTS_FAILING = Fired(
    "warning",
    {"job": JOB, "service": "agents"},
    "Most work of agents fails",
    "75% of the orders that agents did in 15 minutes failed.",
)

FIRES: dict[str, Case] = {
    "a service whose only replica does not answer": Case(
        "ServiceDown", 16, healthy() | up("api", "1x9 0x110"), (API_DOWN,)
    ),
    "a service without any pod": Case("ServiceDown", 6, without("api"), (API_DOWN,)),
    # Its pods were deleted: their series end, and the pause of five minutes is not begun anew by that.
    "a service that failed first and lost its pods then": Case(
        "ServiceDown", 16, healthy() | up("api", "1x9 0 0 0 stale"), (API_DOWN,)
    ),
    "a service of which no replica answers": Case(
        "ServiceDown", 6, healthy() | {series("up", "cortex-os", pod): "0x20" for pod in range(3)}, (OS_DOWN,)
    ),
    "one replica of several": Case("ReplicaDown", 11, healthy() | up("cortex-os", "0x20", 1), (OS_REPLICA_DOWN,)),
    "a replica that no node had room for": Case("ReplicasMissing", 16, without("cortex-os", 2), (OS_MISSING,)),
    "a pod that waits for what it needs": Case(
        "NotReady", 20, healthy() | probes("api", "100x120", "0+12x120"), (API_NOT_READY,)
    ),
    # 6 of 60 a minute are one tenth.
    "one request in ten": Case(
        "HighErrorRate", 15, healthy() | requests("api", "200", "0+54x120") | requests("api", "500", "0+6x120"),
        (API_ERRORS,),
    ),
    # 10 of 100 take from 2.5 to 5 s, so the 95th of a hundred is in the middle of them: 2.5 + 2.5 × 5/10 = 3.75 s.
    "one request in ten that takes seconds": Case(
        "SlowRequests", 20, healthy() | durations("api", {"1": 90, "2.5": 90, "5": 100, "+Inf": 100}), (API_SLOW,)
    ),
    "a process that starts anew every eight minutes": Case(
        "Restarting", 30, healthy() | {series("process_uptime_seconds", "agents"): "0+60x7 0+60x7 0+60x7 0+60x7"},
        (AGENTS_RESTARTING,),
    ),
    # Of 256 MiB nine tenths are 230.4.
    "240 MiB of 256": Case(
        "MemoryNearLimit", 11, healthy() | {series("process_resident_memory_bytes", "api"): f"{240 * 1024**2}x60"},
        (API_MEMORY,),
    ),
    "three orders of four": Case("OrdersFailing", 40, healthy() | orders(1, 3), (AGENTS_FAILING,)),
}  # fmt: skip

SILENT: dict[str, Case] = {
    "all is well": Case("ServiceDown", 60, healthy()),
    "four minutes are a release of a service that is never there twice": Case("ServiceDown", 4, without("api")),
    "it came back within the time": Case("ServiceDown", 16, healthy() | up("api", "1x9 0 0 0 0 1x100")),
    "one of three answers": Case(
        "ServiceDown", 20, healthy() | up("cortex-os", "0x60", 0) | up("cortex-os", "0x60", 1)
    ),
    "all replicas: that is another alert": Case(
        "ReplicaDown", 30, healthy() | {series("up", "cortex-os", pod): "0x60" for pod in range(3)}
    ),
    "a replica that starts": Case("ReplicaDown", 20, healthy() | up("cortex-os", "0 0 0 1x60", 1)),
    "as many as should be": Case("ReplicasMissing", 60, healthy()),
    "more than should be: it was scaled": Case("ReplicasMissing", 60, healthy() | up("cortex-os", "1x120", 3)),
    "too few for ten minutes only": Case("ReplicasMissing", 10, without("cortex-os", 2)),
    "the one replica of a service that has no more": Case("ReplicasMissing", 60, without("api")),
    "a pod that is ready": Case("NotReady", 40, healthy() | probes("api", "0+12x120", "3x120")),
    "a pod that is ready every other time": Case("NotReady", 40, healthy() | probes("api", "0+6x120", "0+6x120")),
    "a pod that was not ready for eight minutes": Case(
        "NotReady", 16, healthy() | probes("api", "0x8 0+12x100", "0+12x8 108x100")
    ),
    "one in fifty": Case(
        "HighErrorRate", 40, healthy() | requests("api", "200", "0+98x120") | requests("api", "500", "0+2x120")
    ),
    "what callers did wrong": Case(
        "HighErrorRate", 40, healthy() | requests("api", "200", "0+50x120") | requests("api", "404", "0+50x120")
    ),
    # Two in five minutes, both failed.
    "too few requests for a rate": Case(
        "HighErrorRate", 40, healthy() | requests("api", "500", "0 0 1 1 1 2 2 2x60")
    ),
    "probes that say no": Case("HighErrorRate", 40, healthy() | requests("api", "503", "0+30x120", route="/ready")),
    "health that says no": Case("HighErrorRate", 40, healthy() | requests("api", "503", "0+30x120", route="/health")),
    "errors that ended": Case(
        "HighErrorRate", 30, healthy() | requests("api", "200", "0+60x120") | requests("api", "500", "0+30x4 120x100")
    ),
    "one in fifty takes seconds": Case(
        "SlowRequests", 40, healthy() | durations("api", {"1": 98, "2.5": 98, "5": 100, "+Inf": 100})
    ),
    "all of them take two seconds": Case(
        "SlowRequests", 40, healthy() | durations("api", {"1": 0, "2.5": 100, "5": 100, "+Inf": 100})
    ),
    "a model takes its time": Case(
        "SlowRequests", 40, healthy() | durations("model-gateway", {"1": 0, "2.5": 0, "5": 100, "+Inf": 100})
    ),
    "probes that take their time": Case(
        "SlowRequests", 40, healthy() | durations("api", {"1": 0, "2.5": 0, "5": 12, "+Inf": 12}, route="/ready")
    ),
    "nobody asks": Case("SlowRequests", 40, healthy() | durations("api", {"1": 0, "2.5": 0, "5": 0, "+Inf": 0})),
    "a release, and another": Case(
        "Restarting", 30, healthy() | {series("process_uptime_seconds", "agents"): "0+60x10 0+60x10 0+60x10"}
    ),
    # Other pods have other series, so nothing goes back in any of them.
    "many pods one after the other": Case(
        "Restarting",
        30,
        healthy() | {series("process_uptime_seconds", "agents", n): f"{'_ ' * n * 5}0+60x4 stale" for n in range(5)},
    ),
    "200 MiB of 256": Case(
        "MemoryNearLimit", 60, healthy() | {series("process_resident_memory_bytes", "api"): f"{200 * 1024**2}x60"}
    ),
    "240 MiB for five minutes": Case(
        "MemoryNearLimit",
        8,
        healthy() | {series("process_resident_memory_bytes", "api"): f"{240 * 1024**2}x5 {100 * 1024**2}x60"},
    ),
    "one order of four": Case("OrdersFailing", 60, healthy() | orders(3, 1)),
    "no orders at all": Case("OrdersFailing", 60, healthy() | orders(0, 0)),
    "another environment's service is down": Case(
        "ServiceDown", 30, healthy() | {series("up", "api").replace(JOB, "cortex-staging"): "0x60"}
    ),
}


def judged(folder: Path, case: Case, where: Path) -> subprocess.CompletedProcess[str]:
    own = {"stack": "cortex", "environment": "local"}
    expected = [
        {
            "exp_labels": {**one.labels, **own, "severity": one.severity},
            "exp_annotations": {"summary": one.summary, "description": one.description},
        }
        for one in case.fired
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minute}m", "alertname": case.alert, "exp_alerts": expected}],
    }
    file = where / "test.yml"
    document = {"rule_files": [str(folder / "rules.yml")], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(yaml.safe_dump(document))
    return promtool("test", "rules", file)


@pytest.mark.parametrize("what", FIRES)
def test_it_fires_for(folder: Path, tmp_path: Path, what: str) -> None:
    done = judged(folder, FIRES[what], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", SILENT)
def test_it_keeps_silent_for(folder: Path, tmp_path: Path, what: str) -> None:
    done = judged(folder, SILENT[what], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_firing_and_seen_silent() -> None:
    for cases in (FIRES, SILENT):
        assert {case.alert for case in cases.values()} == {alert.name for alert in ALERTS}


def test_a_wrong_expectation_is_found(folder: Path, tmp_path: Path) -> None:
    case = FIRES["a service without any pod"]
    done = judged(folder, Case(case.alert, case.minute, case.series), tmp_path)
    assert done.returncode == 1 and "FAILED" in done.stdout + done.stderr
