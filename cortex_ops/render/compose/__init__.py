"""The compose files of one environment: stores, proxy and release as projects of their own, and all in one."""

from cortex_ops.render.compose.bundle import render_compose
from cortex_ops.render.compose.development import render_development
from cortex_ops.render.inputs import RenderInputs

__all__ = ["RenderInputs", "render_compose", "render_development"]
