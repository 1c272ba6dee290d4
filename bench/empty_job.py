"""The smallest job that Dagster runs: what `dagster job execute` costs before any work of ours."""

import dagster as dg


@dg.asset
def nothing() -> None:
    """One asset that does nothing."""


# In process, as ours: the default executor would add the start of a second process to the side we compare with.
defs = dg.Definitions(
    assets=[nothing], jobs=[dg.define_asset_job("empty", [nothing], executor_def=dg.in_process_executor)]
)
