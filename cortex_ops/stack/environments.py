"""One environment with everything decided: overrides applied, ports chosen. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from cortex_ops.kernel.errors import InputError
from cortex_ops.stack.checks import replicas_of
from cortex_ops.stack.schema import Kubernetes, Resources, Stack


@dataclass(frozen=True)
class BackupPlan:
    """When this environment is backed up and how old its newest backup may be."""

    schedule: str
    drill_schedule: str
    stores: tuple[str, ...]
    recovery_point: timedelta
    keep_proven: int
    keep_daily: int
    keep_weekly: int


@dataclass(frozen=True)
class Environment:
    """`ports` maps routed service → published port; `replicas` and `resources` have an entry per service."""

    name: str
    target: str
    mode: Literal["development", "production"]
    drift: str
    protected: bool
    from_: str
    bind: str
    strategy: Literal["beside", "recreate"]
    secrets_folder: str
    wait: float
    start_deadline: float
    restart_budget: int
    ports: dict[str, str]
    replicas: dict[str, int]
    resources: dict[str, Resources]
    env: dict[str, dict[str, str]]
    backup: BackupPlan | None
    kubernetes: Kubernetes


def resolve(stack: Stack, name: str) -> Environment:
    """Raises `InputError` that lists the known names for any other."""
    spec = stack.environments.get(name)
    if spec is None:
        raise InputError(
            f"there is no environment {name!r}; the stack file has {', '.join(sorted(stack.environments))}",
            remedy="correct the name (the partition of the run)",
        )
    replicas, resources, env = {}, {}, {}
    for service, model in stack.services.items():
        override = spec.overrides.get(service)
        replicas[service] = override.replicas if override and override.replicas else replicas_of(model)
        resources[service] = override.resources if override and override.resources else model.resources
        env[service] = {**model.env, **(override.env if override else {})}
    return Environment(
        name=name,
        target=spec.target,
        mode=spec.mode,
        drift=spec.drift,
        protected=spec.protected,
        from_=spec.from_,
        bind=spec.bind,
        strategy=spec.strategy,
        secrets_folder=spec.secrets_folder,
        wait=spec.wait,
        start_deadline=float(spec.start_deadline),
        restart_budget=spec.restart_budget,
        ports={n: spec.ports.get(n, s.route.port) for n, s in stack.services.items() if s.route is not None},
        replicas=replicas,
        resources=resources,
        env=env,
        backup=_backup(stack) if spec.mode == "production" else None,
        kubernetes=spec.kubernetes,
    )


def _backup(stack: Stack) -> BackupPlan | None:
    if stack.backup is None:
        return None
    return BackupPlan(
        schedule=stack.backup.schedule,
        drill_schedule=stack.backup.drill_schedule,
        stores=tuple(stack.backup.stores),
        recovery_point=stack.backup.recovery_point_span(),
        keep_proven=stack.backup.keep.proven,
        keep_daily=stack.backup.keep.daily,
        keep_weekly=stack.backup.keep.weekly,
    )


def deployed(stack: Stack) -> list[str]:
    """The environments that releases go to, in the file's order."""
    return [name for name, spec in stack.environments.items() if spec.mode == "production"]
