"""Housekeeping: end bakes, settle, remove what no retained release needs. Narrow, with reasons."""

from __future__ import annotations

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.store import Store
from cortex_ops.release.history import History
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


def retained(store: Store, keep: int) -> dict[str, str]:
    """Image reference → the release that may need it: of every environment in the store (also one that the stack file
    no longer has) what is live or unfinished, and the `keep` newest that were promoted."""
    found: dict[str, str] = {}
    for env in sorted({key.split("/")[1] for key in store.list("releases/")}):
        history, promoted = History(store, env), 0
        for seq in reversed(history.sequences()):
            record = history.record(seq)
            if record.outcome is not None and record.outcome.state != "promoted":
                continue
            promoted += record.outcome is not None
            for ref in record.intent.lock.images.values():
                found.setdefault(ref.reference(), f"release {seq} of {env}")
            if promoted >= keep:
                break
    return found


def _needed(machine: Releaser) -> set[str]:
    """Secret volumes that the live rendering names."""
    live = machine.history.live()
    placed = machine.history.placed(live.outcome.serves) if live and live.outcome else None
    if placed is None:
        return set()
    text = "\n".join(placed.bundle.files.values())
    return {word.strip("\"' ,") for word in text.split() if "-secrets-" in word}
