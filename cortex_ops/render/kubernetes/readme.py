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
    jobs = sorted(name for name in bundle.files if name.startswith("jobs/"))
    text = (
        f"# {stack}: {env}, on Kubernetes\n\n"
        "    kubectl apply -f 00-namespace.yaml\n\n"
        "Secrets are in no file here. Their names carry the version of their values, so a changed value is another\n"
        "Secret; each needs these keys:\n\n"
        f"{''.join(secrets)}\n"
        "Then everything but the jobs, again after each change; `kubectl diff -f .` shows what would change:\n\n"
        "    kubectl apply -f .\n\n"
        "Jobs cannot be changed once they were made, and are created one by one:\n\n"
        + "".join(f"    kubectl create -f {name}\n" for name in jobs)
    )
    return bundle.model_copy(update={"files": {**bundle.files, "README.md": text}})
