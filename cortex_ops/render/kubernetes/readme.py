"""The README.md beside rendered manifests: what to type, with kubectl alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cortex_ops.kernel.values import Bundle
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes.common import namespace, secret_name
from cortex_ops.stack.naming import secret_volume


def with_readme(bundle: Bundle, inputs: RenderInputs, delivered: Mapping[str, Iterable[str]]) -> Bundle:
    """`delivered`: name of a consumer's secret volume → names of its files; of a Secret they are the keys."""
    space, stack, env = namespace(inputs), inputs.stack.name, inputs.environment.name
    secrets = []
    for consumer, version in sorted(inputs.secret_versions.items()):
        keys = sorted(delivered[secret_volume(stack, env, consumer, version)])
        files = " ".join(f"--from-file={key}=FILE" for key in keys)
        secrets.append(f"    kubectl -n {space} create secret generic {secret_name(inputs, consumer)} {files}\n")
    jobs = [name for name in bundle.files if name.startswith("jobs/")]
    jobs = sorted(jobs, key=lambda name: ("migrate" not in name, name))
    text = (
        f"# {stack}: {env}, on Kubernetes\n\n"
        "    kubectl apply -f 00-namespace.yaml\n\n"
        "Secrets are in no file here. Their names carry the version of their values, so a changed value is another\n"
        "Secret; each needs these keys:\n\n"
        f"{''.join(secrets)}\n"
        f"{_delivered(env) if inputs.environment.target == 'kubernetes' else ''}"
        "Then everything but the jobs, again after each change; `kubectl diff -f .` shows what would change:\n\n"
        "    kubectl apply -f .\n\n"
        "Jobs cannot be changed once they were made, and are created one by one. Services that need their tables\n"
        "are ready after the migration:\n\n"
        + "".join(f"    kubectl create -f {name}\n" for name in jobs)
        + _watched(bundle, inputs)
    )
    return bundle.model_copy(update={"files": {**bundle.files, "README.md": text}})


def _delivered(env: str) -> str:
    return f"`cortex-ops secrets apply -e {env}` makes all of them, from where the stack file says that they are.\n\n"


def _watched(bundle: Bundle, inputs: RenderInputs) -> str:
    """How to apply the folders that `-f .` leaves out, and what they expect of the cluster."""
    spec = inputs.environment.kubernetes
    folders = {name.partition("/")[0] for name in bundle.files}
    out = ""
    if "monitoring" in folders:
        out += "\n## Monitoring\n\n    kubectl apply -f monitoring\n\n"
        out += _OPERATOR if spec.monitoring == "operator" else _CONFIGURED
        if spec.monitoring == "prometheus" and not spec.monitoring_image:
            names = f"{inputs.prefix}-prometheus"
            out += (
                f"Your Prometheus in {spec.monitoring_namespace} mounts that ConfigMap ({names}-…), starts with its\n"
                f"prometheus.yml, and runs as the ServiceAccount {names}.\n"
            )
    if "logging" in folders:
        out += "\n## Logging\n\n    kubectl apply -f logging\n\n" + _CONFIGURED
        if spec.elasticsearch_secret:
            out += (
                "Before it, the login of Elasticsearch, with a file for each part of it:\n\n"
                f"    kubectl -n {spec.logging_namespace} create secret generic {spec.elasticsearch_secret} "
                "--from-file=username=FILE --from-file=password=FILE\n\n"
            )
        if not spec.logging_image:
            out += (
                f"Your collectors in {spec.logging_namespace} mount that ConfigMap ({inputs.prefix}-fluentd-…) as\n"
                "/fluentd/etc, and the node's /var/log; they need fluent-plugin-elasticsearch.\n"
            )
    return out


_OPERATOR = "The cluster has the Prometheus operator, whose PodMonitor and PrometheusRule these are.\n"
_CONFIGURED = (
    "A changed configuration is another ConfigMap, which new pods mount; the earlier one stays until you delete it.\n"
)
