"""Run the integration tests against a candidate and turn every ending into a verdict.

A job that breaks, hangs or says nothing is a failed verdict marked `infrastructure`, never an exception: the
release decides on verdicts, and a step that raises would leave it undecided.
"""

from __future__ import annotations

from cortex_ops.acceptance.junit import BEGIN, END, extract, parse
from cortex_ops.kernel.clock import SYSTEM, Clock, iso
from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.process import telling
from cortex_ops.kernel.progress import SILENT, Progress
from cortex_ops.kernel.values import Placed, TestCase, Verdict
from cortex_ops.stack.naming import RUNNER
from cortex_ops.targets.protocol import JobResult, Target


def run_tests(
    target: Target, placed: Placed, *, deadline: float, clock: Clock = SYSTEM, progress: Progress = SILENT
) -> Verdict:
    """`deadline` in seconds. When it did not pass, the logs of the release's services are attached, and what the
    job said where it gave no results."""
    inside = False

    def show(line: str) -> None:
        nonlocal inside
        inside = (inside or BEGIN in line) and END not in line
        if not inside and END not in line and line.strip():
            progress.say(f"    {line}", style="dim")

    try:
        result = target.run_job(placed, RUNNER, deadline=deadline, on_line=show)
    except OpsError as error:
        result = JobResult(code=None, output="", seconds=0.0, cause=error.message)
    verdict = judge(result, subject=placed.identity, finished_at=iso(clock.now()))
    if not verdict.passed:
        try:
            logs = target.logs(placed.placement.seq)
        except OpsError as error:
            logs = {"(logs)": [error.message]}
        if verdict.infrastructure and (said := result.tail()):
            logs = {RUNNER: said, **logs}
        verdict = verdict.model_copy(update={"logs": logs})
    return verdict


def judge(result: JobResult, *, subject: str, finished_at: str) -> Verdict:
    """Pure. Passed means: results were complete, at least one test ran, none failed, and the job said 0."""

    def verdict(passed: bool, cause: str, cases: tuple[TestCase, ...], infrastructure: bool) -> Verdict:
        return Verdict(
            passed=passed,
            cause=cause,
            cases=cases,
            infrastructure=infrastructure,
            seconds=round(result.seconds, 3),
            subject=subject,
            finished_at=finished_at,
        )

    if result.code is None:
        return verdict(False, result.cause or "the test job did not run", (), True)
    try:
        cases = parse(extract(result.output))
    except OpsError as error:
        said = telling(result.tail())
        return verdict(False, f"{error.message} (exit {result.code}{said and f'; it said: {said}'})", (), True)
    failed = [case for case in cases if case.outcome == "failed"]
    if failed:
        first = failed[0]
        why = first.message.splitlines()[0] if first.message else "no message"
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return verdict(False, f"{first.name}{more}: {why}", cases, False)
    if not any(case.outcome == "passed" for case in cases):
        return verdict(False, "no test was executed", cases, True)
    if result.code != 0:
        return verdict(False, f"every test passed but the job ended with {result.code}", cases, True)
    return verdict(True, "", cases, False)
