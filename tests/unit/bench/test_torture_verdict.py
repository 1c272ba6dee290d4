"""When a series of kills counts as passed, and what is kept of it. The kills themselves are in faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import torture
from tests.support.victim import Kill


def a_kill(*problems: str, number: int = 4, settled: float | None = 1.5) -> Kill:
    return Kill("SIGKILL", 2.0, f"in starting release r{number} beside what runs", "unfinished", settled, problems)


MISSED = Kill("SIGKILL", 9.0, "after the switch", "ended before it was hit", None, (), hit=False)


def run(monkeypatch: pytest.MonkeyPatch, results: Path, kills: list[Kill], caught: list[str]) -> int:
    monkeypatch.setattr(torture, "KINDS", {"backup": lambda *_: (3.0, kills, caught)})
    monkeypatch.setattr("sys.argv", ["torture", "--count", "2", "--seed", "5", "--results", str(results)])
    return torture.main()


@pytest.mark.parametrize(
    ("kills", "caught", "code"),
    [
        ([a_kill(), MISSED, a_kill()], ["it was unfinished"], 0),
        ([a_kill(), a_kill("a set is suspect")], ["it was unfinished"], 1),
        ([a_kill(), a_kill()], [], 1),
        ([a_kill(), MISSED, MISSED], ["it was unfinished"], 1),
    ],
    ids=["nothing is wrong", "a kill left something", "the planted defect was not caught", "too few were hit"],
)
def test_a_series_passes_with_enough_kills_without_problems_and_with_the_planted_defect_caught(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kills: list[Kill], caught: list[str], code: int
) -> None:
    assert run(monkeypatch, tmp_path, kills, caught) == code


def test_what_is_kept_counts_states_and_steps_and_names_seed_machine_and_longest_settle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(monkeypatch, tmp_path, [a_kill(), a_kill(number=5, settled=7.25), a_kill(settled=None), MISSED], ["caught"])
    kept = json.loads((tmp_path / "torture-backup.json").read_text())
    assert kept["seed"] == 5 and kept["machine"]["cores"]
    assert kept["states"] == {"SIGKILL: unfinished": 3}
    assert kept["where"] == {"in starting release r… beside what runs": 3}
    assert (kept["kills"], kept["missed"], kept["settled"]) == (3, 1, 2)
    assert kept["longest_settle_seconds"] == 7.25
