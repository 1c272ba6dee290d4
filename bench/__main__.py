"""`python -m bench [name …] [--pairs N] [--results DIR]`: run the rows, print the table, write the figures."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import bench.cases
from bench.harness import Case, Row, Trial, Tried, as_json, attempt, machine, measure

RESULTS = Path(__file__).parent / "results"


def all_cases() -> list[tuple[str, Case | Trial]]:
    found = []
    for module in pkgutil.iter_modules(bench.cases.__path__):
        cases = importlib.import_module(f"bench.cases.{module.name}").cases()
        found += [(module.name, case) for case in cases]
    return found


def line(row: Row | Tried) -> str:
    if isinstance(row, Tried):
        figures = ", ".join(f"{k} {f'{v:.3f}' if isinstance(v, float) else v}" for k, v in row.figures.items())
        return f"{row.name}: {figures}; target {row.target}: {row.verdict}"
    raw = f"{row.raw_wall:9.3f}" if row.raw_wall is not None else f"{'—':>9}"
    return (
        f"{row.name:<34}{row.ours_wall:9.3f}{raw}  {row.median:8.3f} [{row.low:.3f}, {row.high:.3f}]"
        f"  {row.target:<22}{row.verdict}"
    )


def say(text: str) -> None:
    """Where the row is; over itself on a terminal, else as lines."""
    end = "" if sys.stderr.isatty() else "\n"
    print(f"\r{text}\033[K" if not end else text, end=end, file=sys.stderr, flush=True)


def run_row(case: Case | Trial, pairs: int) -> Row | Tried:
    if isinstance(case, Trial):
        return attempt(case, say)
    case.pairs = pairs or case.pairs
    return measure(case, say)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("names", nargs="*", help="modules of bench/cases; default: all")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a machine in use has compiled what it runs every day
    chosen = [(module, case) for module, case in all_cases() if not args.names or module in args.names]
    if not chosen:
        print(f"no such case; there are {', '.join(sorted({m for m, _ in all_cases()}))}", file=sys.stderr)
        return 2
    print(f"{'row':<34}{'ours s':>9}{'raw s':>9}  {'median':>8} 95 % interval   target")
    by_module: dict[str, list[Row | Tried]] = {}
    for module in dict.fromkeys(module for module, _ in chosen):
        try:
            for case in (case for name, case in chosen if name == module):
                row = run_row(case, args.pairs)
                if sys.stderr.isatty():
                    print("\r\033[K", end="", file=sys.stderr)
                print(line(row), flush=True)
                by_module.setdefault(module, []).append(row)
        finally:
            getattr(importlib.import_module(f"bench.cases.{module}"), "close", lambda: None)()
    args.results.mkdir(parents=True, exist_ok=True)
    for module, rows in by_module.items():
        document = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "rows": [as_json(row) for row in rows],
        }
        (args.results / f"{module}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return 1 if any(row.verdict == "over target" for rows in by_module.values() for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
