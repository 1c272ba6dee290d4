"""Which images must be built, building them, and judging what was built. Nothing here starts a container."""
