"""`history`, `settle`, `rollback`: what is live, what happened, and how to go back, without Dagster."""

from __future__ import annotations

import argparse

from cortex_ops.release.records import Record, TakenDown


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    history = commands.add_parser("history", help="the releases of an environment, newest first")
    history.add_argument("-e", "--environment", required=True)
    history.add_argument("-n", "--limit", type=_number, default=15)
    history.add_argument("--json", action="store_true", help="one JSON record a line")
    history.set_defaults(run=run_history)

    settle = commands.add_parser("settle", help="complete or undo what a dead run left unfinished")
    settle.add_argument("-e", "--environment", required=True)
    settle.set_defaults(run=run_settle)

    rollback = commands.add_parser("rollback", help="bring an earlier promoted release back")
    rollback.add_argument("-e", "--environment", required=True)
    rollback.add_argument("--to", type=_number, default=0, metavar="SEQ", help="default: the one before the live one")
    rollback.set_defaults(run=run_rollback)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 1")
    return int(text)


def run_history(args: argparse.Namespace) -> int:
    from cortex_ops.wiring import wire

    w = wire()
    w.environment(args.environment)
    history = w.history(args.environment)
    live = history.live()
    records = history.records(limit=args.limit)
    if args.json:
        for record in records:
            print(record.to_json().decode())
        return 0
    if not records:
        print(f"{args.environment} has no releases yet")
        return 0
    print(f"{'':2}{'release':<9}{'state':<13}{'finished (UTC)':<22}{'took':>8}  {'revision':<13}{'by':<12}cause")
    down = history.taken_down(live.seq) if live is not None else None
    for record in records:
        print(_line(record, live is not None and record.seq == live.seq, down))
    return 0


def _line(record: Record, live: bool, down: TakenDown | None) -> str:
    outcome, intent = record.outcome, record.intent
    finished = outcome.finished_at[:19].replace("T", " ") if outcome else "—"
    took = f"{outcome.seconds:.1f} s" if outcome else "—"
    revision = intent.revision[:10] + ("+" if intent.dirty else "")
    cause = (outcome.cause.splitlines() or [""])[0] if outcome else f"run {intent.run_id}"
    if intent.returns_to:
        cause = f"back to r{intent.returns_to}" + (f"; {cause}" if cause else "")
    state = record.state()
    if live and down is not None:
        live, state = False, "taken down"
        cause = f"by {down.actor} at {down.at[:19].replace('T', ' ')}; the next release brings it back"
    return (
        f"{'▶ ' if live else '  '}{f'r{record.seq}':<9}{state:<13}{finished:<22}{took:>8}  "
        f"{revision:<13}{intent.actor[:11]:<12}{cause}"
    )


def run_settle(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.wiring import wire

    w = wire()
    settled = pipeline.settle(w, args.environment)
    if not settled:
        print(f"{args.environment}: nothing to settle")
    for record in settled:
        print(f"{args.environment}: r{record.seq} settled as {record.state()}")
    return 0


def run_rollback(args: argparse.Namespace) -> int:
    from cortex_ops import pipeline
    from cortex_ops.wiring import wire

    w = wire()
    result = pipeline.rollback(w, args.environment, args.to)
    print(result.message)
    return 0 if result.ok else 1
