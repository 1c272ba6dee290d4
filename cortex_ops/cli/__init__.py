"""The command line, for when Dagster is not there: one file per group of commands. Dagster is never imported."""
