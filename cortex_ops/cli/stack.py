"""`validate`, `schema`, `render`: the stack file, and files that work without this tool."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = commands.add_parser("validate", help="check stack files; every error at once, with its place")
    validate.add_argument("files", nargs="*", type=Path, help="default: the project's deploy/stack.yaml")
    validate.set_defaults(run=run_validate)

    schema = commands.add_parser("schema", help="a JSON Schema of the stack file, for editors")
    schema.add_argument("-o", "--output", type=Path)
    schema.set_defaults(run=run_schema)

    render = commands.add_parser("render", help="write an environment's files")
    render.add_argument("-e", "--environment", required=True)
    render.add_argument(
        "-o", "--output", type=Path, required=True, help="a folder that is new, empty, or an earlier one"
    )
    render.add_argument("--kind", choices=("compose", "kubernetes"), default="compose", help="default: compose")
    render.set_defaults(run=run_render)


def run_validate(args: argparse.Namespace) -> int:
    from cortex_ops.kernel.settings import load_settings
    from cortex_ops.stack.load import StackError, load_stack

    code = 0
    for path in args.files or [load_settings().stack_file]:
        try:
            stack = load_stack(path)
        except StackError as error:
            code = error.exit_code
            for line in error.located:
                print(line, file=sys.stderr)
            continue
        counts = f"{len(stack.services)} services, {len(stack.stores)} stores, {len(stack.environments)} environments"
        print(f"{path}: valid: {counts}")
    return code


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
    from cortex_ops.wiring import wire

    w = wire()
    folder = _Rendered(args.output, w.environment(args.environment).name, w.stack.name, args.kind)
    folder.claim()
    bundle = pipeline.render_for_hand(w, args.environment, args.kind)
    folder.write(bundle.files)
    print(f"{len(bundle.files)} files of {args.environment} in {args.output}; its README.md says what to type")
    return 0


class _Rendered:
    """A folder of rendered files. It lists them, so that a later rendering removes those that are no more."""

    def __init__(self, folder: Path, environment: str, stack: str, kind: str) -> None:
        self.folder, self.owner = folder, {"stack": stack, "environment": environment, "kind": kind}
        # `kubectl apply -f DIR` reads every .json that is in it.
        self.list = folder / (".cortex-ops.json" if kind == "compose" else ".cortex-ops.list")
        self.files: list[str] = []

    def claim(self) -> None:
        """Raises `InputError` for a folder that holds anything but an earlier rendering of the same."""
        from cortex_ops.kernel.errors import InputError
        from cortex_ops.kernel.files import read_regular

        elsewhere = "give a new folder, or remove this one"
        if not self.folder.exists():
            return
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is no folder", remedy=elsewhere)
        if not any(self.folder.iterdir()):
            return
        try:
            listed = json.loads(read_regular(self.list, 1_000_000))
            self.files = [str(name) for name in listed.pop("files")]
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            raise InputError(f"{self.folder} holds files that are not of a rendering", remedy=elsewhere) from None
        if listed != self.owner:
            what = f"{listed.get('environment')} of {listed.get('stack')} for {listed.get('kind')}"
            raise InputError(f"{self.folder} holds the rendering of {what}", remedy=elsewhere)

    def write(self, files: dict[str, str]) -> None:
        from cortex_ops.kernel.files import write_atomic

        for name in set(self.files) - set(files):
            if ".." not in Path(name).parts and not Path(name).is_absolute():
                (self.folder / name).unlink(missing_ok=True)
        listed = json.dumps({**self.owner, "files": sorted(files)}, indent=1) + "\n"
        for name, text in {self.list.name: listed, **files}.items():
            write_atomic(self.folder / name, text.encode())
