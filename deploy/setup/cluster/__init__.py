"""A one-node Kubernetes of this machine's own, for tests: built from Go modules, started by hand, removed whole.

Never used where a person names a cluster of theirs; see `CORTEX_TEST_KUBECONFIG` in `docs/kubernetes.md`.
"""
