"""What watches an environment in a cluster (metrics, alerts, logs), rendered beside its manifests."""

from cortex_ops.render.monitoring.bundle import monitoring_files

__all__ = ["monitoring_files"]
