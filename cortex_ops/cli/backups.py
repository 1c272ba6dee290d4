"""`backup list`: which sets there are, how old their data is, and which are proven."""

from __future__ import annotations

import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backup = commands.add_parser("backup", help="the backups of an environment")
    inner = backup.add_subparsers(dest="action", metavar="action", required=True)
    listing = inner.add_parser("list", help="newest first, with what is proven")
    listing.add_argument("-e", "--environment", required=True)
    listing.set_defaults(run=run_list)


def run_list(args: argparse.Namespace) -> int:
    from cortex_ops.backup.catalog import list_sets
    from cortex_ops.backup.keys import load_trusted
    from cortex_ops.wiring import wire

    w = wire()
    w.environment(args.environment)
    if not w.store.list(f"backups/{args.environment}/"):  # nobody has made keys before the first
        print(f"{args.environment} has no backups")
        return 0
    for one in list_sets(w.store, args.environment, load_trusted(w.settings)):
        print(one.line())
    return 0
