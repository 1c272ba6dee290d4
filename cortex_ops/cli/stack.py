"""`validate`, `schema`, `render`: the stack file, and files that work without this tool."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = commands.add_parser("validate", help="check a stack file; every error at once, with its place")
    validate.add_argument("file", nargs="?", type=Path, help="default: the project's deploy/stack.yaml")
    validate.set_defaults(run=run_validate)

    schema = commands.add_parser("schema", help="a JSON Schema of the stack file, for editors")
    schema.add_argument("-o", "--output", type=Path)
    schema.set_defaults(run=run_schema)

    render = commands.add_parser("render", help="write an environment's files")
    render.add_argument("-e", "--environment", required=True)
    render.add_argument("-o", "--output", type=Path, required=True, help="a folder; files of ours in it are replaced")
    render.set_defaults(run=run_render)


def run_validate(args: argparse.Namespace) -> int:
    from cortex_ops.kernel.settings import load_settings
    from cortex_ops.stack.load import StackError, load_stack

    path = args.file or load_settings().stack_file
    try:
        stack = load_stack(path)
    except StackError as error:
        for line in error.located:
            print(line, file=sys.stderr)
        return error.exit_code
    counts = f"{len(stack.services)} services, {len(stack.stores)} stores, {len(stack.environments)} environments"
    print(f"{path}: valid: {counts}")
    return 0


def run_schema(args: argparse.Namespace) -> int:
    from cortex_ops.stack.schema import Stack

    text = json.dumps(Stack.model_json_schema(by_alias=True), indent=2, ensure_ascii=False) + "\n"
    if args.output:
        args.output.write_text(text)
    else:
        print(text, end="")
    return 0


def run_render(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.kernel.files import write_atomic
    from cortex_ops.wiring import wire

    bundle = pipeline.render_for_hand(wire(), args.environment)
    for name, text in bundle.files.items():
        write_atomic(args.output / name, text.encode())
    print(f"{len(bundle.files)} files of {args.environment} in {args.output}; its README.md says what to type")
    return 0
