"""JUnit XML from a test job's output: between two marker lines, so that one log stream is enough.

A log without the end marker was cut off, and is no result.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from cortex_ops.kernel.errors import OpsError
from cortex_ops.kernel.values import TestCase

BEGIN = "-----BEGIN JUNIT-----"
END = "-----END JUNIT-----"


def extract(output: str) -> str:
    """The XML between the markers; raises `OpsError` saying what is missing."""
    _, begin, rest = output.partition(BEGIN)
    if not begin:
        raise OpsError("the test job ended without results")
    xml, end, _ = rest.partition(END)
    if not end:
        raise OpsError("the test job's results are cut off")
    return xml.strip()


def parse(xml: str) -> tuple[TestCase, ...]:
    """All executed cases, in order. Entities are refused: the XML comes from a container."""
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise OpsError("the test job's results hold a document type, which is refused")
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise OpsError(f"the test job's results are no XML: {error}") from error
    cases = []
    for suite, case in _walk(root, ""):
        problem = case.find("failure") if case.find("failure") is not None else case.find("error")
        skipped = case.find("skipped")
        outcome = "failed" if problem is not None else "skipped" if skipped is not None else "passed"
        message = ""
        if problem is not None:
            message = (problem.get("message") or (problem.text or "")).strip()[:2000]
        cases.append(
            TestCase(
                suite=case.get("classname") or suite,
                name=case.get("name", "?"),
                outcome=outcome,
                seconds=float(case.get("time") or 0),
                message=message,
            )
        )
    return tuple(cases)


def _walk(node: ElementTree.Element, suite: str) -> list[tuple[str, ElementTree.Element]]:
    found = []
    for child in node:
        if child.tag == "testcase":
            found.append((suite, child))
        elif child.tag == "testsuite":
            found += _walk(child, child.get("name", suite))
    return found
