"""Thin Dagster: assets, checks, jobs, schedules and sensors over `cortex_ops.pipeline`. No decisions here."""
