"""Housekeeping: end bakes, settle, remove what no retained release needs. Narrow, with reasons."""

from __future__ import annotations

from cortex_ops.kernel.errors import OpsError
from cortex_ops.release.machine import Releaser
from cortex_ops.results import UpkeepStep


def tidy(machine: Releaser) -> UpkeepStep:
    """Under the environment's lease. Problems are reported, not raised: upkeep never breaks what serves."""
    removed: list[str] = []
    problems: list[str] = []
    live = machine.history.live()
    if live is None or live.outcome is None:
        return UpkeepStep()
    lease = machine.target.lease
    lease.acquire(machine.run_id, machine.actor)
    try:
        with lease.keep():
            removed += [f"r{record.seq} settled as {record.state()}" for record in machine.settle(holding=True)]
            for seq in machine.target.releases():
                if seq != live.outcome.serves:
                    done = machine.target.remove(seq)
                    removed += [f"{name}: its bake is over" for name in done.removed]
                    problems += done.problems
            done = machine.target.remove_volumes(_needed(machine))
            removed += [f"{name}: no retained release mounts it" for name in done.removed]
            problems += done.problems
    except OpsError as error:
        problems.append(error.message)
    finally:
        lease.release()
    return UpkeepStep(removed=tuple(removed), problems=tuple(problems))


def _needed(machine: Releaser) -> set[str]:
    """Secret volumes that the live rendering names."""
    live = machine.history.live()
    placed = machine.history.placed(live.outcome.serves) if live and live.outcome else None
    if placed is None:
        return set()
    text = "\n".join(placed.bundle.files.values())
    return {word.strip("\"' ,") for word in text.split() if "-secrets-" in word}
