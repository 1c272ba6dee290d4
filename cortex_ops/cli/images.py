"""`images list`, `images refresh`: what was built and why it is kept, and today's base images into the lock."""

from __future__ import annotations

import argparse


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    images = commands.add_parser("images", help="built images in the engine, and the lock of base images")
    what = images.add_subparsers(dest="what", metavar="what", required=True)

    listed = what.add_parser("list", help="each built image, and why upkeep keeps or removes it")
    listed.set_defaults(run=run_list)

    refresh = what.add_parser("refresh", help="pin every base image to what its registry has today")
    refresh.set_defaults(run=run_refresh)


def run_list(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.wiring import wire

    for one in pipeline.image_table(wire()):
        print(f"{'removed' if one.remove else 'kept':<9}{one.image.names[0]:<60}{one.reason}")
    return 0


def run_refresh(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.images.bases import lock_file
    from cortex_ops.wiring import wire

    w = wire()
    changed = pipeline.refresh_bases(w)
    for image, digest in changed.items():
        print(f"{image} is now {digest}")
    print(f"{lock_file(w.settings)}: {len(changed)} changed" + ("; review and commit it" if changed else ""))
    return 0
