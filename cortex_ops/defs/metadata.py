"""Results as metadata that is worth looking at: tables, diffs, links and numbers that plot. Pure."""

from __future__ import annotations

from typing import Any

import dagster as dg

from cortex_ops.kernel.values import Verdict
from cortex_ops.results import BuildStep, HealthStep, ReleaseStep, RenderStep, RolloutStep, SourceResult

Metadata = dict[str, Any]
MiB = 1024 * 1024


def of_source(result: SourceResult) -> Metadata:
    return {
        "revision": result.revision,
        "clean": not result.dirty,
        "changed files": dg.MetadataValue.md("\n".join(f"- `{f}`" for f in result.dirty_files) or "_none_"),
        "seconds": result.seconds,
    }


def of_image(step: BuildStep, name: str) -> Metadata:
    image = next(i for i in step.images if i.name == name)
    return {
        "reference": image.reference,
        "fingerprint": image.fingerprint or "public image",
        "built now": image.built,
        "promoted from": step.promoted_from or "—",
        "size (MiB)": round(image.size / MiB, 1),
        "build seconds": image.seconds,
    }


def of_rendering(step: RenderStep) -> Metadata:
    return {
        "identity": step.identity,
        "files": len(step.bundle.files),
        "difference from live": dg.MetadataValue.md(step.diff[:60_000]),
        "seconds": step.seconds,
    }


def of_rollout(step: RolloutStep, service: str) -> Metadata:
    out: Metadata = {
        "state": step.services.get(service, ""),
        "release": f"r{step.seq}",
        "no-op": step.noop,
        "seconds": step.seconds,
    }
    out |= {f"seconds: {phase}": seconds for phase, seconds in step.timings.items()}
    if step.repaired:
        lines = "\n".join(f"- {change.line()}" for change in step.repaired[:50])
        out["repaired drift"] = dg.MetadataValue.md(lines)
    return out


def of_verdict(verdict: Verdict) -> Metadata:
    rows = [
        f"| {'✓' if case.outcome == 'passed' else '✗' if case.outcome == 'failed' else '–'} | {_cell(case.name)} "
        f"| {case.seconds:.2f} | {_cell(case.message.splitlines()[0] if case.message else '')} |"
        for case in verdict.cases
    ]
    table = "\n".join(["| | test | seconds | message |", "|---|---|---:|---|", *rows])
    out: Metadata = {
        "passed": verdict.passed,
        "cause": verdict.cause or "—",
        "tests": dg.MetadataValue.md(table if rows else "_no test was executed_"),
        "tests passed": sum(case.outcome == "passed" for case in verdict.cases),
        "tests failed": sum(case.outcome == "failed" for case in verdict.cases),
        "seconds": verdict.seconds,
    }
    if verdict.logs:
        parts = [f"**{name}**\n```\n{chr(10).join(lines)}\n```" for name, lines in verdict.logs.items()]
        out["logs"] = dg.MetadataValue.md("\n".join(parts)[:60_000])
    return out


def of_release(step: ReleaseStep) -> Metadata:
    intent, outcome = step.record.intent, step.outcome
    out: Metadata = {
        "release": f"r{step.record.seq}",
        "serves": f"r{outcome.serves}",
        "state": outcome.state,
        "no-op": step.noop,
        "revision": intent.revision,
        "by": intent.actor,
        "promoted from": intent.promoted_from or "—",
        "release seconds": outcome.seconds,
    }
    out |= {f"seconds: {phase}": seconds for phase, seconds in outcome.timings.items()}
    out |= {f"open {name}": dg.MetadataValue.url(url) for name, url in step.endpoints.items()}
    return out


def of_health(step: HealthStep) -> Metadata:
    rows = [
        f"| {'✓' if f.ok else '✗'} | {_cell(f.object)} | {_cell(f.message)} | {_cell(f.remedy)} |"
        for f in step.findings
    ]
    table = "\n".join(["| | what | finding | what to type |", "|---|---|---|---|", *rows])
    return {"healthy": step.healthy, "findings": dg.MetadataValue.md(table), "seconds": step.seconds}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:300]
