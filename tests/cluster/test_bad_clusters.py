"""Clusters that are not as they should be, and hands that interfere: one sentence, nothing half done, no hang."""

from __future__ import annotations

import base64
import http.server
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from cortex_ops import pipeline
from cortex_ops.adapters.cluster import Cluster
from cortex_ops.cli.main import main
from cortex_ops.kernel.errors import InputError, OpsError, RefusedError
from cortex_ops.targets.kubernetes import lease, rollout
from cortex_ops.targets.kubernetes.state import NAME as STATE
from tests.support.cluster import (
    ClusterTiny,
    Object,
    Unharmed,
    cluster_project,
    kubeconfig,
    kubectl,
    rendered,
    rendered_pod,
    until,
)
from tests.support.release_torture import start
from tests.support.tls import make_certificates


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("bad-clusters"), address) as project:
        project.stack({"environments": {"local": {"start_deadline": 20, "restart_budget": 0}}})
        assert project.release().ok
        yield project


def anew(number: int) -> Callable[[Object], None]:
    """The service, started anew for no reason; `number` tells two such changes apart."""

    def change(pod: Object) -> None:
        pod["containers"][0]["env"].append({"name": "ANEW", "value": str(number)})

    return change


# -- kubeconfigs and credentials -----------------------------------------------------------------------------
def config(folder: Path, change: Callable[[Object, Object], object]) -> Path:
    """The kubeconfig with its one cluster and its one user changed."""
    document = yaml.safe_load(kubeconfig().read_text())
    change(document["clusters"][0]["cluster"], document["users"][0]["user"])
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def patient(path: Path, seconds: float = 1.0) -> Cluster:
    return Cluster(str(path), patience=seconds)


def sentence(cluster: Cluster, within: float = 10) -> OpsError:
    began = time.monotonic()
    with pytest.raises(OpsError) as caught:
        cluster.get("/api/v1/namespaces/default")
    assert time.monotonic() - began < within
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "names no cluster"),
        ("", "names no cluster"),
        ("just words", "names no cluster"),
        ("a: [1", "cannot be read"),
        ("\x00\x01", "cannot be read"),
        ("{}", "names no cluster"),
        (
            "apiVersion: v1\nkind: Config\nclusters: 7\nusers: 8\ncontexts: 9\ncurrent-context: x\n",
            "names no cluster",
        ),
    ],
    ids=["missing", "empty", "words", "broken", "binary", "nothing in it", "numbers"],
)
def test_a_kubeconfig_that_is_none_is_wrong_input(
    tiny: ClusterTiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    said: str,
) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    for key in [one for one in os.environ if one.startswith("CORTEX_OPS_")]:
        monkeypatch.delenv(key)
    for key, value in tiny.environ(KUBECONFIG=str(path)).items():
        monkeypatch.setenv(key, value)
    code = main(["render", "--kind", "kubernetes", "-e", "local", "-o", str(tmp_path / "out")])
    err = capsys.readouterr().err
    assert code == 2 and f"{path}" in err.splitlines()[0] and said in err.splitlines()[0], err
    assert "Traceback" not in err and len(err.splitlines()) <= 2


def test_a_context_that_is_not_there_is_named(tiny: ClusterTiny) -> None:
    tiny.stack({"environments": {"local": {"kubernetes": {"context": "the-moon"}}}})
    try:
        with pytest.raises(InputError) as caught:
            tiny.target().live()
    finally:
        tiny.stack({"environments": {"local": {"kubernetes": None}}})
    assert "context the-moon names no cluster" in caught.value.message and caught.value.exit_code == 2


EMPTY = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("data", [b"no certificate", EMPTY], ids=["words", "empty"])
@pytest.mark.parametrize("key", ["client-certificate-data", "certificate-authority-data"])
def test_a_certificate_that_is_none_is_wrong_input(tmp_path: Path, key: str, data: bytes) -> None:
    def broken(server: Object, user: Object) -> None:
        (user if key.startswith("client") else server)[key] = base64.b64encode(data).decode()

    path = config(tmp_path, broken)
    error = sentence(patient(path, 60))
    which = "client certificate" if key.startswith("client") else "certificate authority"
    assert error.message.startswith(f"{path}: its {which}") and "cannot be used" in error.message
    assert error.exit_code == 2


def test_a_certificate_that_is_cut_off_is_wrong_input(tmp_path: Path) -> None:
    path = config(tmp_path, lambda _, user: user.update({"client-certificate-data": "LS0tL"}))
    error = sentence(patient(path, 60))
    assert error.message.startswith(f"{path}: ") and "is not base64" in error.message and error.exit_code == 2


def test_a_client_certificate_of_another_cluster_is_not_accepted(tmp_path: Path) -> None:
    make_certificates(tmp_path / "other")

    def foreign(_: Object, user: Object) -> None:
        user.clear()
        user["client-certificate"] = str(tmp_path / "other" / "cert.pem")
        user["client-key"] = str(tmp_path / "other" / "key.pem")

    assert "does not accept the credentials" in sentence(patient(config(tmp_path, foreign), 60)).message


def test_a_token_that_is_not_accepted_is_said_to_be_so(tmp_path: Path) -> None:
    def stranger(_: Object, user: Object) -> None:
        user.clear()
        user["token"] = "a-token-that-nobody-gave-out"

    error = sentence(patient(config(tmp_path, stranger), 60))
    assert "does not accept the credentials" in error.message and error.remedy
    assert "a-token-that-nobody-gave-out" not in " ".join(error.lines())


def test_an_authority_that_did_not_sign_the_server_is_not_trusted(tmp_path: Path) -> None:
    def foreign(server: Object, _: Object) -> None:
        server.pop("certificate-authority-data", None)
        server.pop("certificate-authority", None)

    assert "is not trusted" in sentence(patient(config(tmp_path, foreign), 60)).message


def test_credentials_without_rights_are_told_which_they_lack(tiny: ClusterTiny, tmp_path: Path) -> None:
    space, name = tiny.namespace, "reader"
    kubectl("-n", space, "create", "serviceaccount", name)
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get"]}]
    role = {"kind": "Role", "metadata": {"name": name, "namespace": space}, "rules": rules}
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "rbac.authorization.k8s.io/v1", **role}))
    kubectl("-n", space, "create", "rolebinding", name, f"--role={name}", f"--serviceaccount={space}:{name}")
    token = kubectl("-n", space, "create", "token", name).strip()

    def reader(_: Object, user: Object) -> None:
        user.clear()
        user["token"] = token

    kept = tiny.settings_env["KUBECONFIG"]
    tiny.settings_env["KUBECONFIG"] = str(config(tmp_path, reader))
    try:
        with rendered_pod(anew(0)):
            w = tiny.prepared()
            findings = pipeline.preflight(w, "local")
            with pytest.raises(OpsError) as caught:
                tiny.deploy(w)
    finally:
        tiny.settings_env["KUBECONFIG"] = kept
        kubectl("-n", space, "delete", "serviceaccount,role,rolebinding", name)
    assert f"these credentials may not list, create, patch, delete deployments.apps in {space}" in findings
    assert f"these credentials may not list, create, patch, delete leases.coordination.k8s.io in {space}" in findings
    assert all(re.fullmatch(rf"these credentials may not [a-z, ]+ \S+ in {space}", one) for one in findings)
    assert "leases" in caught.value.message and token not in " ".join(caught.value.lines())


# -- API servers ---------------------------------------------------------------------------------------------
def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no-such-host.invalid"])
def test_an_api_server_that_is_away_is_one_error_in_its_time(tmp_path: Path, host: str) -> None:
    path = config(tmp_path, lambda server, _: server.update(server=f"https://{host}:{closed_port()}"))
    error = sentence(patient(path, 1), within=15)
    assert error.message.startswith(f"the API server at https://{host}:") and "does not answer" in error.message


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *_: object) -> None: ...


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_no_api_server_is_said_to_be_none(tmp_path: Path, scheme: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"{scheme}://127.0.0.1:{server.server_port}"
        error = sentence(patient(config(tmp_path, lambda one, _: one.update(server=address)), 1))
        server.shutdown()
    assert address in error.message
    assert ("is no API server" if scheme == "http" else "does not answer") in error.message


def test_a_kind_that_the_cluster_lacks_is_named_before_anything_changes(tiny: ClusterTiny) -> None:
    before = Unharmed(tiny)

    def with_entry(documents: list[Object]) -> None:
        entry = json.loads(json.dumps(next(one for one in documents if one["kind"] == "Service")))
        documents.append({**entry, "apiVersion": "moon.example.org/v1", "kind": "Crater", "spec": {}})

    with rendered(with_entry):
        w = tiny.prepared()
        said = "the cluster has no kind Crater (moon.example.org/v1), which is rendered"
        assert pipeline.preflight(w, "local") == [said]
        with pytest.raises(OpsError) as caught:
            tiny.deploy(w)
    assert caught.value.message == said
    assert before.left() == []


# -- namespaces ----------------------------------------------------------------------------------------------
@contextmanager
def held_namespace(name: str) -> Iterator[Callable[[], None]]:
    """A namespace that is being deleted and cannot go until the given function is called."""
    kubectl("create", "namespace", name)
    hold = {"metadata": {"name": "hold", "namespace": name, "finalizers": ["example.org/hold"]}}
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "ConfigMap", **hold}))

    def let_go() -> None:
        patch = json.dumps({"metadata": {"finalizers": None}})
        kubectl("-n", name, "patch", "configmap", "hold", "--type=merge", "-p", patch, check=False)

    kubectl("delete", "namespace", name, "--wait=false")
    try:
        yield let_go
    finally:
        let_go()


def test_a_namespace_on_its_way_out_is_waited_for_and_for_no_longer_than_said(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster_project(tmp_path, address) as fresh, held_namespace(fresh.namespace) as let_go:
        w = fresh.prepared()
        assert pipeline.preflight(w, "local") == []
        monkeypatch.setattr(lease, "TERMINATING_S", 2.0)
        began = time.monotonic()
        with pytest.raises(OpsError) as caught:
            fresh.deploy(w)
        assert time.monotonic() - began < 10
        said = f"namespace {fresh.namespace} is being deleted and has not gone for 2 s"
        assert caught.value.message == said and caught.value.remedy
        monkeypatch.setattr(lease, "TERMINATING_S", 60.0)
        late = threading.Timer(4, let_go)
        late.start()
        assert fresh.release().ok
        late.join()
        assert fresh.get() == "one"


# -- hands ---------------------------------------------------------------------------------------------------
def test_the_second_of_two_runs_is_refused_with_the_name_of_the_first(tiny: ClusterTiny) -> None:
    tiny.answer("of the first run")
    with start(tiny) as first:
        assert first.wait_for("· starting release"), first.lines
        began = time.monotonic()
        with pytest.raises(RefusedError) as caught:
            tiny.release()
        assert time.monotonic() - began < 20
        holder = (
            rf"{tiny.namespace} is being changed by run \S+ \(.+ on {socket.gethostname()}, pid {first.process.pid},"
        )
        assert re.match(holder, caught.value.message) and caught.value.exit_code == 3
        assert first.end() == 0, first.lines
    assert tiny.get() == "of the first run"


def test_a_service_that_is_deleted_before_the_switch_is_named_and_nothing_is_promoted(
    tiny: ClusterTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "NAMES_S", 0.1)
    before = Unharmed(tiny)
    with rendered_pod(anew(1)):
        w = tiny.prepared()
        pipeline.rollout(w, "local")
        assert pipeline.integration_tests(w, "local").passed
        kubectl("-n", tiny.namespace, "delete", "service", "api")
        with pytest.raises(OpsError) as caught:
            pipeline.release(w, "local")
    assert re.fullmatch(r"Service api was deleted since r\d+ was applied", caught.value.message)
    assert before.left() == []


def test_a_service_that_is_deleted_while_pods_are_waited_for_comes_back_with_the_old_release(
    tiny: ClusterTiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "NAMES_S", 0.1)
    before = Unharmed(tiny)

    def late(pod: Object) -> None:
        pod["containers"][0]["readinessProbe"]["initialDelaySeconds"] = 6

    cut = threading.Timer(4, kubectl, ("-n", tiny.namespace, "delete", "service", "api"))
    with rendered_pod(late):
        w = tiny.prepared()
        cut.start()
        with pytest.raises(OpsError) as caught:
            tiny.deploy(w)
    cut.join()
    assert caught.value.message == "Service api was deleted while it was waited for"
    assert before.left() == []


def test_a_lease_that_is_deleted_during_a_run_ends_it_and_leaves_the_old_release(tiny: ClusterTiny) -> None:
    before = Unharmed(tiny)
    with rendered_pod(anew(2)):
        w = tiny.prepared()
        cut = threading.Timer(0, _delete_lease_once_held, (tiny,))
        cut.start()
        with pytest.raises(OpsError) as caught:
            tiny.deploy(w)
        cut.join()
    assert caught.value.message.startswith(f"the lease of {tiny.namespace} was removed by somebody")
    assert before.left() == []


def _delete_lease_once_held(tiny: ClusterTiny) -> None:
    until("the lease", lambda: tiny.names("leases"), 30)
    kubectl("-n", tiny.namespace, "delete", "lease", "cortex-ops")


NONSENSE = {"live": "banana", "applied": "r0x", "applying": "r-1", "inventory": "{", "restarts": "[7]"}


@pytest.mark.parametrize("hand", ["deletes", "overwrites"])
def test_a_record_of_releases_that_a_hand_spoils_is_drift_and_written_anew(tiny: ClusterTiny, hand: str) -> None:
    def spoil() -> None:
        if hand == "deletes":
            kubectl("-n", tiny.namespace, "delete", "configmap", STATE)
        else:
            patch = json.dumps({"data": NONSENSE})
            kubectl("-n", tiny.namespace, "patch", "configmap", STATE, "--type=merge", "-p", patch)

    tiny.stack({"services": {"more": {**tiny.stack()["services"]["api"], "route": None}}})
    try:
        assert tiny.release().ok
    finally:
        tiny.stack({"services": {"more": None}})
    spoil()
    step = tiny.release()
    assert step.ok and not step.noop
    assert "more" not in tiny.names("deployments") | tiny.names("services"), "its inventory was found again"
    before = Unharmed(tiny)
    spoil()
    crash = {"command": ["node", "-e", "process.exit(1)"]}
    with rendered_pod(lambda pod: pod["containers"][0].update(crash)), pytest.raises(OpsError, match="exit 1"):
        tiny.release()
    assert before.left() == []
    assert tiny.release().noop
