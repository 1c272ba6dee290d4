"""Integration-test runs and their verdicts. Knows a target only by its protocol."""
