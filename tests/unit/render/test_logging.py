"""Logging: lines of the container runtime, whose they are, where they wait, and what their collector may do."""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from typing import Any

import pytest

from tests.support.watched import (
    FLUENTD,
    IMAGE,
    LOGIN,
    the,
    watched,
)


def conf(*more: dict[str, Any]) -> str:
    return str(the(watched(FLUENTD, *more), "ConfigMap")["data"]["fluent.conf"])


def expressions() -> list[re.Pattern[str]]:
    """As Ruby reads them: between slashes, which are escaped within; its named groups are Python's with a P."""
    return [
        re.compile(found.replace("(?<", "(?P<").replace("\\/", "/"))
        for found in re.findall(r"^ *expression /(.*)/$", conf(), re.MULTILINE)
    ]


LINES: dict[str, tuple[str, dict[str, str]]] = {
    "an object": (
        '2026-03-01T10:20:30.123456789Z stdout F {"level":"info","msg":"listening","port":3000}',
        {
            "time": "2026-03-01T10:20:30.123456789Z",
            "stream": "stdout",
            "logtag": "F",
            "json": '{"level":"info","msg":"listening","port":3000}',
        },
    ),
    "text": (
        "2026-03-01T10:20:30.5Z stderr F Error: cannot listen on 0.0.0.0:3000",
        {
            "time": "2026-03-01T10:20:30.5Z",
            "stream": "stderr",
            "logtag": "F",
            "message": "Error: cannot listen on 0.0.0.0:3000",
        },
    ),
    "the first part of a long object": (
        '2026-03-01T10:20:30.000000001Z stdout P {"msg":"aaaa',
        {"time": "2026-03-01T10:20:30.000000001Z", "stream": "stdout", "logtag": "P", "message": '{"msg":"aaaa'},
    ),
    "its last part": (
        '2026-03-01T10:20:30.000000002Z stdout F aaaa"}',
        {"time": "2026-03-01T10:20:30.000000002Z", "stream": "stdout", "logtag": "F", "message": 'aaaa"}'},
    ),
    "a tag with more to it": (
        "2026-03-01T10:20:30Z stdout P:x a",
        {"time": "2026-03-01T10:20:30Z", "stream": "stdout", "logtag": "P:x", "message": "a"},
    ),
    "an empty line": (
        "2026-03-01T10:20:30.1+01:00 stdout F ",
        {"time": "2026-03-01T10:20:30.1+01:00", "stream": "stdout", "logtag": "F", "message": ""},
    ),
    "a number": (
        "2026-03-01T10:20:30.1Z stdout F 42",
        {"time": "2026-03-01T10:20:30.1Z", "stream": "stdout", "logtag": "F", "message": "42"},
    ),
    "a list": (
        '2026-03-01T10:20:30.1Z stdout F [{"a":1},{"b":2}]',
        {"time": "2026-03-01T10:20:30.1Z", "stream": "stdout", "logtag": "F", "message": '[{"a":1},{"b":2}]'},
    ),
    "braces around no object": (
        "2026-03-01T10:20:30.1Z stdout F {not json}",
        {"time": "2026-03-01T10:20:30.1Z", "stream": "stdout", "logtag": "F", "json": "{not json}"},
    ),
    "two spaces before and a brace within": (
        "2026-03-01T10:20:30.1Z stdout F   at {x}",
        {"time": "2026-03-01T10:20:30.1Z", "stream": "stdout", "logtag": "F", "message": "  at {x}"},
    ),
}


@pytest.mark.parametrize("what", LINES)
def test_a_line_of_the_container_runtime_is_read(what: str) -> None:
    line, wanted = LINES[what]
    found = expressions()[0].search(line)
    assert found is not None
    assert {key: value for key, value in found.groupdict().items() if value is not None} == wanted
    dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", wanted["time"]))  # ISO 8601, as `%iso8601` takes it


@pytest.mark.parametrize(
    "line",
    [
        '{"log":"of the docker engine\\n","stream":"stdout","time":"2026-03-01T10:20:30.1Z"}',
        "2026-03-01T10:20:30.1Z stdin F a",
        "2026-03-01T10:20:30.1Z stdout X a",
        "2026-03-01T10:20:30.1Z stdout F",
        "",
    ],
)
def test_a_line_in_another_format_is_not_read_as_one_and_is_sent_as_it_is(line: str) -> None:
    assert expressions()[0].search(line) is None
    assert "emit_unmatched_lines true" in conf()


def test_whose_line_it_is_comes_from_the_name_of_its_file() -> None:
    container = "0123456789abcdef" * 4
    path = f"/var/log/containers/cortex-os-6d4cf56db6-x2k8q_cortex-local_cortex-os-{container}.log"
    found = expressions()[1].search(path)
    assert found is not None
    assert found.groupdict() == {
        "pod": "cortex-os-6d4cf56db6-x2k8q",
        "namespace": "cortex-local",
        "container": "cortex-os",
    }


def test_only_logs_of_the_environment_are_read() -> None:
    (path,) = re.findall(r"^ *path (/var/log/containers/.*)$", conf(), re.MULTILINE)
    container = "0" * 64
    for pod, mine in (
        (f"api-1_cortex-local_api-{container}", True),
        (f"api-1_cortex-local2_api-{container}", False),
        (f"cortex-local-x_other_api-{container}", False),
        (f"cortex-local-fluentd-x_logs_fluentd-{container}", False),  # its own would be read for ever
    ):
        assert fnmatch.fnmatchcase(f"/var/log/containers/{pod}.log", path) is mine, pod


def test_every_section_is_closed_and_every_value_is_set() -> None:
    stack: list[str] = []
    for line in conf(LOGIN).splitlines():
        text = line.strip()
        if opened := re.fullmatch(r"<(\w+)( [^>]*)?>", text):
            stack.append(opened[1])
        elif closed := re.fullmatch(r"</(\w+)>", text):
            assert stack.pop() == closed[1]
        else:
            assert not re.search(r"\$[a-z]", text), text
    assert stack == []


def test_what_cannot_be_sent_yet_waits_on_the_nodes_disk() -> None:
    text = conf()
    (buffer,) = re.findall(r"<buffer>(.*?)</buffer>", text, re.DOTALL)
    assert "@type file" in buffer and "retry_forever true" in buffer and "overflow_action block" in buffer
    folder = "/var/lib/fluentd/"
    assert f"path {folder}buffer" in buffer and f"pos_file {folder}containers.pos" in text
    pod = the(watched(FLUENTD, {"logging_image": IMAGE}), "DaemonSet")["spec"]["template"]["spec"]
    (state,) = [one for one in pod["volumes"] if one["name"] == "state"]
    assert state["hostPath"] == {"path": "/var/lib/cortex-ops/cortex-local-fluentd", "type": "DirectoryOrCreate"}


def test_where_logs_go_is_what_the_environment_says_and_the_login_is_read_from_files() -> None:
    text = conf(LOGIN)
    for line in ("scheme https", "host es.test", "port 9200", "logstash_prefix cortex-local"):
        assert re.search(rf"^ *{line}$", text, re.MULTILINE)
    assert """password "#{File.read('/run/secrets/elasticsearch/password').chomp}\"""" in text
    assert "password" not in conf()


def test_the_collector_may_read_the_nodes_logs_and_nothing_else() -> None:
    given = watched(FLUENTD, LOGIN, {"logging_image": IMAGE})
    pod = the(given, "DaemonSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    read_only = {one["name"]: one.get("readOnly", False) for one in container["volumeMounts"]}
    mine = {one["name"]: one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one}
    assert set(mine.values()) == {
        "/var/log/containers",
        "/var/log/pods",
        "/var/lib/cortex-ops/cortex-local-fluentd",
    }
    assert {name for name in mine if not read_only[name]} == {"state"}
    enforce = "pod-security.kubernetes.io/enforce"
    assert the(given, "Namespace")["metadata"]["labels"][enforce] == "privileged"
