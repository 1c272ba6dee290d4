"""The steps of the main job as functions, and nothing of how they are scheduled.

`defs` calls one of these per Dagster op and `cli` calls the same ones; what a step hands to the next is an
object in the store, so that it does not matter which process runs the next step.
"""

from cortex_ops.pipeline.care import backup, drill, health, upkeep
from cortex_ops.pipeline.images import build, image_table, refresh_bases, source
from cortex_ops.pipeline.inputs import Inputs, check_environment, read_inputs
from cortex_ops.pipeline.rendering import Renderer, apply_secrets, preflight, render, render_for_hand
from cortex_ops.pipeline.transaction import integration_tests, interrupt, release, releaser, rollback, rollout, settle

__all__ = [
    "Inputs",
    "Renderer",
    "apply_secrets",
    "backup",
    "build",
    "check_environment",
    "drill",
    "health",
    "image_table",
    "integration_tests",
    "interrupt",
    "preflight",
    "read_inputs",
    "refresh_bases",
    "release",
    "releaser",
    "render",
    "render_for_hand",
    "rollback",
    "rollout",
    "settle",
    "source",
    "upkeep",
]
