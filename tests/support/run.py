"""Runs every part of the test suite in order, prints the time of each, and judges the counts.

`python -m tests.support.run [part …]`. A skipped or deselected test is a failure, and so is a part that executed
fewer tests than its committed minimum: a suite that silently shrinks proves nothing.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.setup.cluster.node import HOME, Node
from tests.support.traces import traces

GIVEN = "CORTEX_TEST_KUBECONFIG"

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable


@dataclass(frozen=True)
class Part:
    """One part: its folders, the least number of tests that must have been executed there, whether it takes a
    cluster. Its files are given to so many `workers`; those that are not to be beside others run `alone`, afterwards.
    """

    name: str
    paths: tuple[str, ...]
    minimum: int
    cluster: bool = False
    workers: int = 1
    alone: tuple[str, ...] = ()


# They stop daemons, give the cluster kinds that renderings depend on, need its processors, or count its requests.
ALONE = tuple(
    f"tests/cluster/test_{name}.py"
    for name in ("daemons", "istio", "network_policies", "no_request_fails", "sample", "scaling")
)
PARTS = (
    Part("unit", ("tests/unit",), 1451, workers=2),
    Part("integration", ("tests/integration",), 392, workers=2),
    Part("faults", ("tests/faults",), 33, workers=2, alone=("tests/faults/test_engine_stopped.py",)),
    Part("pages", ("tests/pages",), 8),
    Part("conformance", ("tests/conformance",), 196, cluster=True, workers=2),
    # Each file has namespaces of its own, and waits more than it works.
    Part("cluster", ("tests/cluster",), 107, cluster=True, workers=2, alone=ALONE),
)
# What only a cluster of set-up's own making can show.
OWN_CLUSTER = {
    "tests/cluster/test_daemons.py": "an API server and a kubelet that are stopped",
    "tests/cluster/test_volumes.py": "volumes and their snapshots",
}


@dataclass(frozen=True)
class Count:
    passed: int
    failed: tuple[str, ...]
    skipped: tuple[str, ...]

    def plus(self, other: Count) -> Count:
        return Count(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def count(xml: Path) -> Count:
    """What a JUnit file of pytest says."""
    passed, failed, skipped = 0, [], []
    for case in ElementTree.parse(xml).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        broken = [found for kind in ("failure", "error") if (found := case.find(kind)) is not None]
        if broken:
            failed.append(f"{name}: {shown(broken[0].get('message') or '')}")
        elif (why := case.find("skipped")) is not None:
            skipped.append(f"{name}: {why.get('message')}")
        else:
            passed += 1
    return Count(passed, tuple(failed), tuple(skipped))


def shown(message: str) -> str:
    """The first lines of a failure, in one line: what one reads when only the end of a long output is at hand."""
    return " ⏎ ".join(line.strip() for line in message.strip().splitlines()[:8])[:1000]


def run_part(part: Part, results: Path) -> tuple[str, list[str]]:
    """Its line of the table, and what is wrong with it."""
    began = time.monotonic()
    print(f"\n── {part.name} ──", flush=True)
    elsewhere = set(OWN_CLUSTER) if part.cluster and os.environ.get(GIVEN) else set()
    beside = ["-n", str(part.workers)] if part.workers > 1 else []
    ignored = [f"--ignore={path}" for path in sorted({*elsewhere, *part.alone})]
    codes, found = [], Count(0, (), ())
    for number, argv in enumerate([[*part.paths, *beside, *ignored], sorted(set(part.alone) - elsewhere)]):
        if not argv:
            continue
        xml = results / f"{part.name}{number or ''}.xml"
        xml.unlink(missing_ok=True)
        command = [PYTHON, "-m", "pytest", *argv, f"--junitxml={xml}", "--durations=8", "--durations-min=5"]
        codes.append(subprocess.run(command, cwd=ROOT, check=False).returncode)
        if xml.is_file():
            found = found.plus(count(xml))
    seconds = time.monotonic() - began
    problems = [f"pytest ended with {code}" for code in codes if code]
    if found.skipped:
        problems.append(f"{len(found.skipped)} skipped: {found.skipped[0]}")
    if found.passed < part.minimum and not (part.cluster and os.environ.get(GIVEN)):
        problems.append(f"executed {found.passed}, at least {part.minimum} were expected")
    line = f"{part.name:<12} {seconds:7.1f} s  {found.passed} passed, {len(found.failed)} failed"
    return line + ("" if not problems else "  ✗ " + "; ".join(problems)), [*problems, *found.failed]


@contextlib.contextmanager
def cluster(left: list[str] | None = None) -> Iterator[None]:
    """The cluster of set-up's making; removed afterwards unless it was there before. `left` gets what that leaves."""
    there, before = Node(HOME, HOME).alive(), traces()
    command = [PYTHON, "-m", "deploy.setup"]
    if subprocess.run([*command, "cluster"], cwd=ROOT, check=False).returncode:
        print("the parts that take a cluster fail without one", flush=True)
    try:
        yield
    finally:
        if not there:
            subprocess.run([*command, "cluster-down"], cwd=ROOT, check=False)
            if left is not None:
                left += sorted(traces() - before)


def main(names: list[str]) -> int:
    unknown = set(names) - {part.name for part in PARTS}
    if unknown:
        print(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(p.name for p in PARTS)}")
        return 2
    results = ROOT / ".cortex" / "test-results"
    results.mkdir(parents=True, exist_ok=True)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # every job's process would compile the whole package again
    began = time.monotonic()
    lines: list[str] = []
    wrong: list[str] = []
    left: list[str] = []
    with contextlib.ExitStack() as standing:
        for part in PARTS:
            if names and part.name not in names:
                continue
            if part.cluster and not os.environ.get(GIVEN):
                standing.enter_context(cluster(left))
            elif part.cluster:
                left_out = ", ".join(["flows from pods to their node", *OWN_CLUSTER.values()])
                print(f"{GIVEN}: not tested there: {left_out}", flush=True)
            line, problems = run_part(part, results)
            lines.append(line)
            wrong += [f"{part.name}: {problem}" for problem in problems]
    wrong += [f"the removed cluster left {trace}" for trace in left]
    print("".join(f"\n✗ {problem}" for problem in wrong))
    print("\n".join(lines))
    print(f"{'all':<12} {time.monotonic() - began:7.1f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
