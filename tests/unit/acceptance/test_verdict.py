"""Every ending of a test job becomes a verdict, and only a complete, clean one passes."""

from __future__ import annotations

import pytest

from cortex_ops.acceptance.junit import BEGIN, END
from cortex_ops.acceptance.run import judge
from cortex_ops.kernel.values import Verdict
from cortex_ops.targets.protocol import JobResult

GOOD = '<testsuites><testcase name="a" time="0.5" classname="t"/><testcase name="b"/></testsuites>'
FAILURE = '<testcase name="a"><failure message="500 &amp; no more">x</failure></testcase>'
BAD = f'<testsuites><testsuite name="s">{FAILURE}</testsuite></testsuites>'
SKIPPED = '<testsuites><testcase name="a"><skipped/></testcase></testsuites>'


def verdict(xml: str, code: int | None = 0, *, cut: bool = False) -> Verdict:
    output = f"progress\n{BEGIN}\n{xml}\n" + ("" if cut else END)
    return judge(JobResult(code=code, output=output, seconds=1.0), subject="s", finished_at="t")


def test_all_passed_and_exit_zero_is_a_pass() -> None:
    result = verdict(GOOD)
    assert result.passed and result.cause == "" and [c.name for c in result.cases] == ["a", "b"]


def test_a_failed_test_is_named_with_its_message() -> None:
    result = verdict(BAD, 1)
    assert not result.passed and not result.infrastructure and result.cause == "a: 500 & no more"


@pytest.mark.parametrize(
    ("xml", "code", "cut", "cause"),
    [
        (GOOD, 0, True, "cut off"),
        (GOOD, 1, False, "every test passed but the job ended with 1"),
        (SKIPPED, 0, False, "no test was executed"),
        ("<testsuites/>", 0, False, "no test was executed"),
        ("<testsuites", 0, False, "no XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><testsuites/>', 0, False, "refused"),
    ],
)
def test_anything_incomplete_is_an_infrastructure_failure(xml: str, code: int, cut: bool, cause: str) -> None:
    result = verdict(xml, code, cut=cut)
    assert not result.passed and result.infrastructure and cause in result.cause


def test_a_job_that_never_ran_says_why() -> None:
    result = judge(JobResult(code=None, output="", seconds=0, cause="no such image"), subject="s", finished_at="t")
    assert not result.passed and result.infrastructure and result.cause == "no such image"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("starting\n\nboom\n", "; it said: boom"),
        (
            "TypeError: fetch failed\n    at node:internal\n  [cause]: Error: getaddrinfo ENOTFOUND api\n"
            "    code: 'ENOTFOUND',\n}\n\nNode.js v24.1.0\n",
            "; it said: [cause]: Error: getaddrinfo ENOTFOUND api",
        ),
        ("", ""),
    ],
)
def test_output_without_results_is_quoted_where_it_says_why(output: str, said: str) -> None:
    result = judge(JobResult(code=137, output=output, seconds=0), subject="s", finished_at="t")
    assert result.cause == f"the test job ended without results (exit 137{said})"
