"""The model of the system: what `deploy/stack.yaml` may say, and what is derived from it without a target."""
