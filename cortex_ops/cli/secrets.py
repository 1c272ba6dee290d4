"""`secrets check` and `secrets apply`: is every value there, and delivering them for use by hand."""

from __future__ import annotations

import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    secrets = commands.add_parser("secrets", help="check or deliver an environment's secrets")
    inner = secrets.add_subparsers(dest="action", metavar="action", required=True)
    for name, run, help_ in (
        ("check", run_check, "say which values are missing and what to create"),
        ("apply", run_apply, "deliver the values (and the proxy's configuration), for use with rendered files"),
    ):
        one = inner.add_parser(name, help=help_)
        one.add_argument("-e", "--environment", required=True)
        one.set_defaults(run=run)


def run_check(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.secrets.delivery import deliveries
    from cortex_ops.wiring import wire

    w = wire()
    pipeline.check_environment(w, args.environment)
    found = deliveries(w.stack, w.environment(args.environment), w.settings)
    print(f"{args.environment}: {len(found.versions)} consumers have all their secrets")
    return 0


def run_apply(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.wiring import wire

    volumes = pipeline.apply_secrets(wire(), args.environment)
    for name in volumes:
        print(f"delivered {name}")
    return 0
