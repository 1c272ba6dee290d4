"""All compose files of an environment as one value."""

from __future__ import annotations

from typing import Any

from cortex_ops.kernel.collector import collector_paused
from cortex_ops.kernel.values import Bundle, Placement
from cortex_ops.render.compose.common import escape
from cortex_ops.render.compose.edge import edge_document, haproxy_config
from cortex_ops.render.compose.release import release_document
from cortex_ops.render.compose.stores import stores_document
from cortex_ops.render.inputs import RenderInputs
from cortex_ops.render.yaml_output import to_yaml

__all__ = ["RenderInputs", "render_compose"]

NEUTRAL = Placement(seq=0, slot="a")


@collector_paused()
def render_compose(inputs: RenderInputs, placement: Placement = NEUTRAL) -> Bundle:
    """Pure. At the neutral placement the bundle's hash is the release's identity."""
    stores, edge = stores_document(inputs), edge_document(inputs)
    release = release_document(inputs, placement)
    files = {
        "stores/compose.yaml": to_yaml(escape(stores)),
        "edge/compose.yaml": to_yaml(escape(edge)),
        "edge/haproxy.cfg": haproxy_config(inputs),
        "release/compose.yaml": to_yaml(escape(release)),
        "compose.yaml": to_yaml(escape({"name": inputs.prefix, **combine(stores, edge, release)})),
    }
    return Bundle(target="compose", environment=inputs.environment.name, files=files)


def combine(*documents: dict[str, Any]) -> dict[str, Any]:
    """Several projects as one, for use by hand: what one of them owns is not external to the others."""
    out: dict[str, Any] = {"services": {}, "networks": {}, "volumes": {}}
    for document in documents:
        out["services"] |= document["services"]
        for group in ("networks", "volumes"):
            for name, value in document[group].items():
                if name not in out[group] or not value.get("external"):
                    out[group][name] = value
    return out
