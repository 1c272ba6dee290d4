"""Cortex Ops: builds, renders, releases, tests, backs up and recovers Cortex-OS.

The packages below are layers; docs/architecture.md has the picture and import-linter holds it.
"""

__version__ = "0.1.0"
