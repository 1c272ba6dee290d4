"""Do two renderings of one model describe the same system? Services, images, environment, users, files, limits.

What differs by nature is declared here, each with its reason; any other difference is a defect of a renderer.
"""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.values import Bundle, Change
from cortex_ops.render.compose.common import LABEL
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import NAME, reached
from cortex_ops.render.yaml_output import read_all_yaml, read_yaml
from cortex_ops.stack.naming import RUNNER
from cortex_ops.stack.quantities import cpu

Object = dict[str, Any]
Facts = dict[str, Any]

DECLARED = {
    "CORTEX_RELEASE": "on Compose of each release; pods of two releases share their work",
    "CORTEX_LIVE_URL": "two releases run beside each other only on Compose, where the proxy says which is live",
}


def differences(inputs: RenderInputs, compose: Bundle, kubernetes: Bundle) -> list[Change]:
    """`expected` is what Compose gets, `found` what Kubernetes gets; the object is a service, store or job."""
    here, there = _of_compose(inputs, compose), _of_kubernetes(kubernetes)
    for side in (here, there):
        for name in ("TENANT", *_routed(inputs)) if RUNNER in side else ():
            side[RUNNER]["environment"].pop(name, None)
    out = []
    for name in sorted(here.keys() | there.keys()):
        if name not in here or name not in there:
            where = "in the compose files only" if name in here else "in the manifests only"
            out.append(Change(object=name, field="presence", expected="in both", found=where))
            continue
        for field, wanted in here[name].items():
            found = there[name][field]
            if found is not None and found != wanted:
                out.append(Change(object=name, field=field, expected=wanted, found=found))
    return out


def _of_compose(inputs: RenderInputs, bundle: Bundle) -> dict[str, Facts]:
    services: Object = {}
    for part in ("stores", "release"):
        services |= read_yaml(bundle.files[f"{part}/compose.yaml"])["services"]
    out = {}
    for one in services.values():
        name = one["labels"][LABEL + "service"]
        environment = {key: _plain(str(value)) for key, value in (one.get("environment") or {}).items()}
        out[name] = {
            "image": one["image"],
            "user": str(one["user"]).partition(":")[0],
            "environment": _undeclared({key: reached(inputs, value) for key, value in environment.items()}),
            "writable": sorted(path.partition(":")[0] for path in one.get("tmpfs") or []),
            "mounts": sorted(mount["target"] for mount in one.get("volumes") or []),
            "memory": int(one["mem_limit"]),
            "cores": float(one["cpus"]),
            "replicas": (one.get("deploy") or {}).get("replicas", 1),
        }
    return out


def _of_kubernetes(bundle: Bundle) -> dict[str, Facts]:
    """A replica count of None is the autoscaler's. What only watches the system is no part of it."""
    out = {}
    for text in (text for name, text in bundle.files.items() if name.endswith(".yaml") and not _watches(name)):
        for document in read_all_yaml(text):
            if document["kind"] not in ("Deployment", "StatefulSet", "Job"):
                continue
            pod = document["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            paths = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            environment = {one["name"]: _plain(one["value"]) for one in container["env"] if "value" in one}
            out[document["metadata"]["labels"][NAME]] = {
                "image": container["image"],
                "user": str(pod["securityContext"]["runAsUser"]),
                "environment": _undeclared(environment),
                "writable": sorted(path for name, path in paths.items() if name.startswith("writable-")),
                "mounts": sorted(path for name, path in paths.items() if not name.startswith("writable-")),
                "memory": int(container["resources"]["limits"]["memory"]),
                "cores": cpu(container["resources"]["limits"]["cpu"]),
                "replicas": 1 if document["kind"] == "Job" else document["spec"].get("replicas"),
            }
    return out


def _watches(name: str) -> bool:
    return name.startswith(("monitoring/", "logging/"))


def _routed(inputs: RenderInputs) -> list[str]:
    """Variables of the tests that hold an address, which is the proxy's on Compose and a Service's in a cluster."""
    tests = inputs.stack.tests
    return [key for key, text in (tests.env if tests else {}).items() if text.startswith("route:")]


def _undeclared(environment: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key not in DECLARED}


def _plain(text: str) -> str:
    """Both readers make one `$` of two."""
    return text.replace("$$", "$")
