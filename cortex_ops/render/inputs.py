"""What every rendering is a function of."""

from __future__ import annotations

from dataclasses import dataclass, field

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import ImageLock, ImageRef
from cortex_ops.stack import naming
from cortex_ops.stack.environments import Environment
from cortex_ops.stack.schema import Stack

SECRETS = "/run/secrets"  # where a container finds the files of its secrets


@dataclass(frozen=True)
class RenderInputs:
    """All that a rendering depends on, but for the placement. `capabilities` are recorded facts of the target."""

    stack: Stack
    environment: Environment
    lock: ImageLock
    secret_versions: dict[str, str]
    capabilities: dict[str, str] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        return naming.prefix(self.stack.name, self.environment.name)

    def network(self, name: str) -> str:
        return naming.network(self.stack.name, self.environment.name, name)

    def image(self, name: str) -> ImageRef:
        try:
            return self.lock.images[name]
        except KeyError:
            raise OpsError(f"the images hold none for {name}", remedy="build again") from None

    def secret_version(self, consumer: str) -> str:
        try:
            return self.secret_versions[consumer]
        except KeyError:
            raise OpsError(f"there is no version of {consumer}'s secrets") from None

    def secret_volume(self, consumer: str) -> str:
        version = self.secret_version(consumer)
        return naming.secret_volume(self.stack.name, self.environment.name, consumer, version)
