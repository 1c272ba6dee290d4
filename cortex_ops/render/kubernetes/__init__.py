"""Kubernetes manifests of an environment, as plain files."""

from cortex_ops.render.kubernetes.bundle import render_kubernetes

__all__ = ["render_kubernetes"]
