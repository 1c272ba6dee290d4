"""Removing an environment from its engine: what carries its label, and nothing else."""

from __future__ import annotations

import re

from cortex_ops.adapters.engine import Engine
from cortex_ops.kernel.errors import OpsError

LABEL = "org.cortex-ops."


def remove_environment(engine: Engine, prefix: str, *, data: bool) -> list[str]:
    """Containers, networks and secret volumes of one environment; its data volumes only when `data` is true."""
    api = engine.client.api
    ours = {"label": [f"{LABEL}project={prefix}"]}
    ours_by_name = re.compile(
        re.escape(prefix) + r"(-(r\d+|stores|edge))?"
    )  # without a suffix: all parts as one, by hand
    removed = []
    for row in engine.guard(api.containers, all=True, filters=ours):
        engine.guard(api.remove_container, row["Id"], force=True, v=True)
        removed.append(f"container {row['Names'][0].lstrip('/')}")
    for row in engine.guard(api.networks):
        labels = row.get("Labels") or {}
        if ours_by_name.fullmatch(labels.get("com.docker.compose.project", "")):
            engine.guard(api.remove_network, row["Id"])
            removed.append(f"network {row['Name']}")
    for row in (engine.guard(api.volumes) or {}).get("Volumes") or []:
        labels = row.get("Labels") or {}
        projects = (prefix, f"{prefix}-edge", f"{prefix}-stores")
        mine = labels.get(f"{LABEL}project") == prefix or labels.get("com.docker.compose.project") in projects
        if mine and (data or not row["Name"].endswith("-data")):
            try:
                engine.guard(api.remove_volume, row["Name"])
            except OpsError as error:
                removed.append(f"(not: {error.message})")
            else:
                removed.append(f"volume {row['Name']}")
    return removed
