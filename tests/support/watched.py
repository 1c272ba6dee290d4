"""The sample's environment with something that watches it, as what a rendering is a function of."""

from __future__ import annotations

from typing import Any

import yaml

from cortex_ops.kernel.values import Bundle
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.kubernetes import render_kubernetes
from cortex_ops.render.monitoring import monitoring_files
from tests.support.cluster_inputs import Change, Document, inputs

IMAGE = "registry.test/watch@sha256:" + "b" * 64
PROMETHEUS = {"monitoring": "prometheus", "monitoring_namespace": "watch"}
OPERATOR = {"monitoring": "operator", "monitoring_namespace": "watch"}
FLUENTD = {"logging": "fluentd", "logging_namespace": "logs", "elasticsearch": "https://es.test:9200"}
LOGIN = {"elasticsearch_secret": "elastic-login"}
IMAGES = {"monitoring_image": IMAGE, "logging_image": IMAGE}


def watched(*parts: dict[str, Any], change: Change | None = None) -> RenderInputs:
    def set_(document: Document) -> None:
        for part in parts:
            document["environments"]["local"]["kubernetes"] |= part
        if change is not None:
            change(document)

    return inputs(set_)


def documents(given: RenderInputs) -> list[Document]:
    return [one for text in monitoring_files(given).values() for one in yaml.safe_load_all(text)]


def the(given: RenderInputs, kind: str) -> Document:
    (found,) = [one for one in documents(given) if one["kind"] == kind]
    return found


def whole(given: RenderInputs) -> Bundle:
    plain = render_kubernetes(given)
    return plain.model_copy(update={"files": {**plain.files, **monitoring_files(given)}})


def config_of(given: RenderInputs) -> tuple[Document, Document]:
    data = the(given, "ConfigMap")["data"]
    return yaml.safe_load(data["prometheus.yml"]), yaml.safe_load(data["rules.yml"])
