"""Jobs of a release: migrations and the integration tests. Their templates cannot change, so they have a folder of
their own and the release's number in their name. Their accounts do not change, and are with everything else."""

from __future__ import annotations

from cortex_ops.kernel.values import Placement
from cortex_ops.render.inputs import SECRETS, RenderInputs
from cortex_ops.render.kubernetes.common import (
    Object,
    account,
    container_security,
    files,
    image,
    literal,
    named,
    pod,
    resources,
    user_of,
    variables,
)
from cortex_ops.render.kubernetes.policies import deployed
from cortex_ops.stack.naming import RUNNER
from cortex_ops.stack.schema import Resources, Service

MIGRATION_S = 300


def job_accounts(inputs: RenderInputs) -> list[Object]:
    names = [f"{name}-migrate" for name, service in deployed(inputs).items() if service.migrations is not None]
    if inputs.stack.tests is not None:
        names.append(RUNNER)
    return [account(inputs, name, "job") for name in names]


def job_objects(inputs: RenderInputs, placement: Placement) -> dict[str, Object]:
    """Name → Job."""
    out = {
        f"{name}-migrate": _migration(inputs, placement, name, service)
        for name, service in deployed(inputs).items()
        if service.migrations is not None
    }
    if inputs.stack.tests is not None:
        out[RUNNER] = _tests(inputs, placement)
    return out


def _migration(inputs: RenderInputs, placement: Placement, name: str, service: Service) -> Object:
    assert service.migrations is not None
    job = f"{name}-migrate"
    ref = inputs.image(name)
    uid, gid = user_of(name, ref.user)
    volumes, mounts = files(inputs, name, secrets=bool(service.secrets), writable=service.writable)
    container = {
        "name": "migrate",
        "image": image(ref, inputs.environment.name),
        "imagePullPolicy": "IfNotPresent",
        "command": [literal(one) for one in service.migrations.command],
        "env": variables(inputs, name, service),
        "resources": resources(inputs.environment.resources[name]),
        "securityContext": container_security(inputs),
        "volumeMounts": mounts,
    }
    template = pod(inputs, job, "job", uid, gid, containers=[container], volumes=volumes, restartPolicy="Never")
    return _job(inputs, placement, job, template, MIGRATION_S)


def _tests(inputs: RenderInputs, placement: Placement) -> Object:
    tests = inputs.stack.tests
    assert tests is not None
    ref = inputs.image(RUNNER)
    uid, gid = user_of(RUNNER, ref.user)
    volumes, mounts = files(inputs, RUNNER, secrets=bool(tests.secrets), writable=["/tmp"])

    def value(text: str) -> str:
        name = text.removeprefix("route:")
        return f"http://{name}:{inputs.stack.services[name].port}" if text.startswith("route:") else text

    plain = {
        **{key: value(text) for key, text in tests.env.items()},
        **{key: f"{SECRETS}/{secret}" for key, secret in tests.secrets.items()},
        "CORTEX_RELEASE": f"r{placement.seq}",
        "TENANT": f"test-r{placement.seq}",
        "DEADLINE_SECONDS": str(tests.deadline),
    }
    container = {
        "name": RUNNER,
        "image": image(ref, inputs.environment.name),
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": key, "value": literal(plain[key])} for key in sorted(plain)],
        "resources": resources(Resources(memory="512Mi", cpu="1")),
        "securityContext": container_security(inputs),
        "volumeMounts": mounts,
    }
    template = pod(inputs, RUNNER, "job", uid, gid, containers=[container], volumes=volumes, restartPolicy="Never")
    # The runner ends itself at its deadline and reports; the Job's own is for a runner that cannot.
    return _job(inputs, placement, RUNNER, template, tests.deadline + 60)


def _job(inputs: RenderInputs, placement: Placement, name: str, template: Object, deadline: int) -> Object:
    spec = {"backoffLimit": 0, "activeDeadlineSeconds": deadline, "template": template}
    job = named(inputs, "Job", "batch/v1", name, "job", spec=spec)
    job["metadata"]["name"] = f"{name}-r{placement.seq}"
    return job
