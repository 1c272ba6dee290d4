"""A system with a database on a cluster: its secret is only where it is used, its data outlives what was released."""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator

import pytest

from cortex_ops import pipeline
from cortex_ops.kernel.errors import RefusedError
from tests.support.cluster import ClusterTiny, cluster_project, kubectl, until
from tests.support.engine import ROOT


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[ClusterTiny]:
    with cluster_project(tmp_path_factory.mktemp("store"), address, postgres=True) as project:
        assert project.release().ok
        yield project


def test_a_secret_is_in_its_secret_and_nowhere_else(tiny: ClusterTiny) -> None:
    value = (tiny.root / "secrets" / "postgres-password").read_text().strip()
    forms = {value, base64.b64encode(value.encode()).decode(), urllib.parse.quote(value)}
    kinds = "deployments,statefulsets,replicasets,pods,configmaps,services,events,leases,networkpolicies"
    seen = kubectl("-n", tiny.namespace, "get", kinds, "-o", "yaml")
    assert "postgres" in seen and not [form for form in forms if form in seen]
    assert any(form in kubectl("-n", tiny.namespace, "get", "secrets", "-o", "yaml") for form in forms)
    for path in (tiny.root / ".cortex" / "store").rglob("*"):
        assert path.is_dir() or not [form for form in forms if form.encode() in path.read_bytes()], path


def test_a_changed_secret_is_another_object_and_the_one_before_goes_when_nobody_names_it(tiny: ClusterTiny) -> None:
    (before,) = tiny.names("secrets")
    path = tiny.root / "secrets" / "postgres-password"
    old = path.read_text()
    path.write_text("another-one-of-this-test\n")
    try:
        w = tiny.wire()
        names = pipeline.apply_secrets(w, "local")
        assert len(names) == 1 and names[0] != before
        assert tiny.names("secrets") == {before, names[0]}
    finally:
        path.write_text(old)
    pipeline.upkeep(tiny.wire(), "local")
    assert tiny.names("secrets") == {before}


def test_a_backup_of_a_clusters_store_is_refused_and_says_so(tiny: ClusterTiny) -> None:
    with pytest.raises(RefusedError, match="local is on a cluster, whose stores this version does not back up"):
        pipeline.backup(tiny.wire(), "local")


def test_down_removes_what_releases_made_and_keeps_data_unless_told(tiny: ClusterTiny) -> None:
    kubectl("-n", tiny.namespace, "create", "configmap", "a-persons-own")
    (claim,) = tiny.names("persistentvolumeclaims")
    kinds = "deployments,statefulsets,services,networkpolicies,secrets,jobs,leases"
    assert "removed Deployment api" in down(tiny)
    until("nothing of ours", lambda: not tiny.names(kinds))
    assert tiny.names("persistentvolumeclaims") == {claim}
    assert "a-persons-own" in tiny.names("configmaps") and "cortex-ops-release" not in tiny.names("configmaps")
    assert tiny.release().ok, "what was taken down can be released again, with its data"
    assert f"removed PersistentVolumeClaim {claim}" in down(tiny, "--purge")
    until("no claim", lambda: not tiny.names("persistentvolumeclaims"))


def down(tiny: ClusterTiny, *arguments: str) -> str:
    argv = [sys.executable, "-m", "cortex_ops.cli.main", "down", "-e", "local", *arguments]
    done = subprocess.run(
        argv, cwd=ROOT, env=tiny.environ(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
