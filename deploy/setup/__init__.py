"""Set-up of a machine: find the engine that is there, or bring one to a bare Debian; the standard library only.

Nothing here is imported by `cortex_ops`; it writes `.cortex/engine.json`, which settings read.
"""
