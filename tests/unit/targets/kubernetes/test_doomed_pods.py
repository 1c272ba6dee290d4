"""Which pods will never be ready."""

from __future__ import annotations

import pytest

from cortex_ops.targets.kubernetes.pods import (
    doomed,
    earlier,
    rejected,
)
from tests.support.cluster_pods import IMAGE, RUNNING, Document, ended, pod, waiting

CRASHED = "CrashLoopBackOff"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            'rpc error: code = NotFound desc = failed to pull and unpack image "x": failed to resolve reference "x": '
            "x: not found",
            "it is not found",
        ),
        ("reading manifest latest in registry.test/cortex/api: manifest unknown", "it is not found"),
        ("unexpected status from HEAD request to https://registry.test/v2/: 401 Unauthorized", "refuses the pull"),
        ("failed to authorize: failed to fetch oauth token: unexpected status: 403 Forbidden", "refuses the pull"),
        ("pull access denied, repository does not exist or may require authorization", "refuses the pull"),
        ("denied: requested access to the resource is denied", "refuses the pull"),
        ("no match for platform in manifest: not found", "not built for the node's platform"),
        ("http: server gave HTTP response to HTTPS client", "do not speak the same TLS"),
    ],
)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_an_image_that_will_never_come_is_named_with_the_reason(reason: str, message: str, cause: str) -> None:
    said = doomed(pod(waiting(reason, message)), 3)
    assert said.startswith(f"container api of pod api-7d9f-x cannot have its image {IMAGE}: ")
    assert cause in said


@pytest.mark.parametrize(
    "message",
    [
        'Back-off pulling image "registry.test/cortex/api"',
        "failed to do request: dial tcp 10.0.0.9:5000: connect: connection refused",
        "dial tcp: lookup registry.test on 10.0.0.10:53: no such host",
        "unexpected status from HEAD request to https://registry.test/v2/x: 503 Service Unavailable",
        "429 Too Many Requests - toomanyrequests: You have reached your unauthenticated pull rate limit",
        "failed to authorize: failed to fetch anonymous token: net/http: TLS handshake timeout",
        "context deadline exceeded",
        "denied: toomanyrequests: rate limit exceeded",
        "failed to authorize: 401 Unauthorized: auth server: 502 Bad Gateway",
    ],
)
def test_a_registry_that_is_down_or_busy_may_come_back(message: str) -> None:
    assert doomed(pod(waiting("ErrImagePull", message)), 0) == ""


@pytest.mark.parametrize("name", ["timeout", "forbidden", "x509"])
def test_the_name_of_an_image_is_no_cause(name: str) -> None:
    image = f"registry.test/{name}:unauthorized"
    busy = f"failed to pull {image} from https://registry.test/v2/{name}/manifests/unauthorized: connection reset"
    gone = f"failed to resolve reference {image}: not found"
    assert doomed(pod(waiting("ErrImagePull", busy), image=image), 0) == ""
    assert "it is not found" in doomed(pod(waiting("ErrImagePull", gone), image=image), 0)


@pytest.mark.parametrize("reason", ["InvalidImageName", "ErrImageNeverPull", "ImageInspectError"])
def test_an_image_that_the_node_cannot_use_is_named(reason: str) -> None:
    assert IMAGE in doomed(pod(waiting(reason)), 9)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerConfigError", 'secret "api-0123" not found'),
        ("CreateContainerConfigError", "container has runAsNonRoot and image will run as root"),
        ("CreateContainerError", "failed to generate container: no command specified"),
        ("RunContainerError", 'exec: "serve": executable file not found in $PATH: unknown'),
    ],
)
def test_a_container_that_can_never_start_is_doomed_at_once(reason: str, message: str) -> None:
    assert message in doomed(pod(waiting(reason, message)), 9)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("CreateContainerConfigError", "failed to sync secret cache: timed out waiting for the condition"),
        ("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"),
        ("CreateContainerError", "context deadline exceeded"),
        ("CreateContainerError", 'failed to reserve container name "api": name "api" is reserved for "1f"'),
        ("ContainerCreating", ""),
        ("PodInitializing", ""),
    ],
)
def test_what_is_only_late_is_not_doomed(reason: str, message: str) -> None:
    assert doomed(pod(waiting(reason, message)), 0) == ""


@pytest.mark.parametrize("reason", ["ContainerCannotRun", "StartError"])
def test_a_program_of_another_platform_is_said_before_it_crashes_again(reason: str) -> None:
    last = ended(128, reason, "failed to create task: exec /app: exec format error")
    said = doomed(pod(waiting(CRASHED, lastState=last, restartCount=1)), 9)
    assert "container api of pod api-7d9f-x: it cannot be started: it is not built for the node's platform" in said
    assert doomed(pod({"state": last}), 9)
    assert doomed(pod({**RUNNING, "lastState": last, "restartCount": 1}), 9) == ""  # it did start after all


def test_crashes_are_forgiven_up_to_the_budget() -> None:
    def crashes(count: int) -> Document:
        return pod(waiting(CRASHED, "back-off", lastState=ended(1), restartCount=count))

    assert doomed(crashes(2), 3) == "", "the third crash of three"
    assert doomed(crashes(3), 3) == "container api of pod api-7d9f-x keeps crashing (exit 1, 3 restarts)"
    again = pod({**RUNNING, "lastState": ended(1), "restartCount": 3})
    assert doomed(again, 3) == "", "its last restart may live"
    assert "keeps crashing (exit 1, 0 restarts)" in doomed(pod({"state": ended(1)}), 0)


def test_restarts_of_before_the_rollout_do_not_count() -> None:
    old = pod(waiting(CRASHED, lastState=ended(1), restartCount=7))
    now = pod(waiting(CRASHED, lastState=ended(1), restartCount=9))
    assert doomed(now, 3, earlier([old])) == ""
    assert "2 restarts" in doomed(now, 1, earlier([old]))


def test_init_containers_count_as_well() -> None:
    assert "container init of pod" in doomed(pod(waiting("PodInitializing"), init=(waiting("InvalidImageName"),)), 3)
    failing = {"state": ended(2), "restartCount": 4}
    said = doomed(pod(waiting("PodInitializing"), init=(failing,)), 3)
    assert said == "container init of pod api-7d9f-x keeps crashing (exit 2, 4 restarts)"


def test_a_container_killed_for_its_memory_says_so_with_its_limit() -> None:
    killed = pod(waiting(CRASHED, lastState=ended(137, "OOMKilled"), restartCount=4))
    assert "it used more memory than its limit of 256Mi" in doomed(killed, 3)


@pytest.mark.parametrize("reason", ["Evicted", "Preempting", "NodeShutdown"])
def test_a_pod_whose_node_took_its_place_away_dooms_nothing(reason: str) -> None:
    lost = pod({"state": ended(137), "restartCount": 9}, phase="Failed", reason=reason)
    assert doomed(lost, 0) == ""
    assert rejected([lost], 0) == ""
