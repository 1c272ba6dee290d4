"""The smallest job that Dagster runs: what `dagster job execute` costs before any work of ours."""

import dagster as dg


@dg.asset
def nothing() -> None:
    """One asset that does nothing."""


defs = dg.Definitions(assets=[nothing], jobs=[dg.define_asset_job("empty", [nothing])])
