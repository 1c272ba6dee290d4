"""Names and fixed ports of an environment's things on an engine. One place, so that two parts never disagree."""

from __future__ import annotations

# What every system has beside its declared parts, so no service may be called so: the proxy, and who tests a release.
EDGE = "edge"
RUNNER = "integration-tests"

# The proxy's own listeners, which no route may take: its control, and one a routed service for the candidate.
CONTROL_PORT = 8404
FIRST_CANDIDATE_PORT = 20001
STORE_PORTS = {"postgres": ("5432",), "nats": ("4222", "8222"), "redis": ("6379",), "qdrant": ("6333",)}


def prefix(stack: str, environment: str) -> str:
    """What every object starts with: `cortex-local`."""
    return f"{stack}-{environment}"


def secret_volume(stack: str, environment: str, consumer: str, version: str) -> str:
    return f"{prefix(stack, environment)}-{consumer}-secrets-{version}"


def namespace(given: str, stack: str, environment: str) -> str:
    """Of a cluster: `given` by the environment, else as everything else is called."""
    return given or prefix(stack, environment)


def secret_object(consumer: str, version: str) -> str:
    """In a cluster, where a namespace is the environment's own. It names the very values."""
    return f"{consumer}-{version}"


def data_volume(stack: str, environment: str, store: str) -> str:
    return f"{prefix(stack, environment)}-{store}-data"


def network(stack: str, environment: str, name: str) -> str:
    """`stores`, `proxy`, `candidate` (internal); `public`, `egress`."""
    return f"{prefix(stack, environment)}-{name}"
