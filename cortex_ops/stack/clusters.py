"""Checks of what environments say about their cluster: namespaces, monitoring, logging. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cortex_ops.kernel.names import is_label
from cortex_ops.stack.contents import Finding
from cortex_ops.stack.located import Key
from cortex_ops.stack.naming import prefix
from cortex_ops.stack.schema import Kubernetes, Stack

_NAMES = (
    "namespace",
    "ingress_namespace",
    "monitoring_namespace",
    "monitoring_account",
    "logging_namespace",
    "elasticsearch_secret",
)
# Field → what of `monitoring` or `logging` reads it. `monitoring_namespace` alone is a Prometheus of somebody else.
_READ_BY = {
    "monitoring_image": ("monitoring", "prometheus"),
    "alertmanager": ("monitoring", "prometheus"),
    "monitoring_account": ("monitoring", "operator"),
    "monitoring_labels": ("monitoring", "operator"),
    "logging_namespace": ("logging", "fluentd"),
    "logging_image": ("logging", "fluentd"),
    "elasticsearch": ("logging", "fluentd"),
    "elasticsearch_secret": ("logging", "fluentd"),
}
_NEEDS = {
    "prometheus": ("monitoring_namespace",),
    "operator": ("monitoring_namespace",),
    "fluentd": ("logging_namespace", "elasticsearch"),
}
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


def of_clusters(stack: Stack) -> Iterator[Finding]:
    for name, spec in stack.environments.items():
        base: Key = ("environments", name, "kubernetes")
        yield from _fields(base, spec.kubernetes)
    yield from _namespaces(stack)


def _fields(base: Key, spec: Kubernetes) -> Iterator[Finding]:
    for field in _NAMES:
        text = getattr(spec, field)
        if text and not is_label(text):
            yield (*base, field), repr(text), "a lower-case name of letters, digits and single hyphens", False
    for part in ("monitoring", "logging"):
        kind = getattr(spec, part)
        for field in _NEEDS.get(kind, ()):
            if not getattr(spec, field):
                # About the field that is not there, so that one which is only wrong is not reported twice.
                yield (*base, field), f"nothing, with `{part}: {kind}`", "a value", False
    for field, (part, kind) in _READ_BY.items():
        if getattr(spec, field) and getattr(spec, part) != kind:
            yield (
                (*base, field),
                f"it, and `{part}: {getattr(spec, part)}`",
                f"`{part}: {kind}`, which reads it",
                True,
            )
    for key, value in spec.monitoring_labels.items():
        if not _LABEL_KEY.fullmatch(key):
            yield (*base, "monitoring_labels", key), repr(key), "the key of a label", True
        if not _LABEL_VALUE.fullmatch(value):
            yield (*base, "monitoring_labels", key), repr(value), "the value of a label", False


def _namespaces(stack: Stack) -> Iterator[Finding]:
    """Those that are made admit different pods, so none may serve two purposes, in whichever environment."""
    made: dict[str, str] = {}
    for name, spec in stack.environments.items():
        made[spec.kubernetes.namespace or prefix(stack.name, name)] = f"the services of {name}"
    for part, kind in (("monitoring", "prometheus"), ("logging", "fluentd")):
        wanted = {
            name: getattr(spec.kubernetes, f"{part}_namespace")
            for name, spec in stack.environments.items()
            if getattr(spec.kubernetes, part) == kind
        }
        for name, namespace in wanted.items():
            if namespace in made:
                path = ("environments", name, "kubernetes", f"{part}_namespace")
                yield path, repr(namespace), f"another namespace than that of {made[namespace]}", False
        made |= {namespace: f"the {part} of {name}" for name, namespace in wanted.items() if namespace}
