"""`health`, `doctor`, `upkeep`: is it healthy, is everything here, and tidying up."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from cortex_ops.results import HealthFinding


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    health = commands.add_parser("health", help="is an environment healthy, asked from outside")
    health.add_argument("-e", "--environment", required=True)
    health.set_defaults(run=run_health)

    doctor = commands.add_parser("doctor", help="is each thing here that the pipeline needs")
    doctor.set_defaults(run=run_doctor)

    upkeep = commands.add_parser("upkeep", help="end bakes and remove what nothing retained needs")
    upkeep.add_argument("-e", "--environment", required=True)
    upkeep.set_defaults(run=run_upkeep)


def _print(findings: Sequence[HealthFinding]) -> None:
    for finding in findings:
        print(f"{'✓' if finding.ok else '✗'} {finding.object}: {finding.message}")
        if finding.remedy and not finding.ok:
            print(f"    → {finding.remedy}")


def run_health(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.wiring import wire

    step = pipeline.health(wire(), args.environment)
    _print(step.findings)
    print(f"{args.environment} is {'healthy' if step.healthy else 'not healthy'}")
    return 0 if step.healthy else 1


def run_doctor(args: argparse.Namespace) -> int:
    from cortex_ops.health.doctor import examine
    from cortex_ops.wiring import wire

    findings = examine(wire())
    _print(findings)
    return 0 if all(finding.ok for finding in findings) else 1


def run_upkeep(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.wiring import wire

    step = pipeline.upkeep(wire(), args.environment)
    for line in step.removed or ("nothing to remove",):
        print(line)
    for line in step.problems:
        print(f"✗ {line}")
    return 1 if step.problems else 0
