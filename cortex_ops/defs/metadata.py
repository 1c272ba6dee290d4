"""Results as metadata that is worth looking at: tables, diffs, links, and plain numbers that plot. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from cortex_ops.kernel.values import Verdict
from cortex_ops.release.records import Record
from cortex_ops.results import BuildStep, HealthStep, ImageResult, ReleaseStep, RenderStep, RolloutStep, SourceResult

if TYPE_CHECKING:
    from cortex_ops.backup import BackupResult, DrillResult
    from cortex_ops.backup import SourceResult as BackupPart

Metadata = dict[str, Any]
LONGEST = 60_000  # characters of one entry; the page becomes slow beyond


def points(lines: Iterable[str]) -> dg.MarkdownMetadataValue:
    """A list, or the word none."""
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines)[:LONGEST] or "_none_")


def of_source(result: SourceResult) -> Metadata:
    return {
        "revision": result.revision,
        "clean": not result.dirty,
        "changed files": points(f"`{name}`" for name in result.dirty_files),
        "images": len(result.fingerprints),
        "seconds": result.seconds,
    }


def _image(step: BuildStep, name: str) -> ImageResult:
    return next(image for image in step.images if image.name == name)


def of_image(step: BuildStep, name: str) -> Metadata:
    image = _image(step, name)
    return {
        "reference": image.reference,
        "digest": image.reference.rpartition("@")[2],
        "fingerprint": image.fingerprint or "a public image",
        "noop": not image.built,
        "promoted from": step.promoted_from or "—",
        "size (bytes)": image.size,
        "size (MiB)": round(image.size / 1024**2, 1),
        "build seconds": float(image.seconds),
    }


def of_own_tests(step: BuildStep, name: str, stage: str) -> Metadata:
    built = _image(step, name).built
    when = "in this build" if built else f"in {step.promoted_from}" if step.promoted_from else "when it was built"
    return {"stage": stage, "passed": when}


def of_rendering(step: RenderStep, kind: str) -> Metadata:
    rendering = step.renderings.get(kind)
    out: Metadata = {
        "files": len(rendering.files) if rendering else 0,
        "rendered": points(f"`{name}`" for name in sorted(rendering.files))
        if rendering
        else f"nothing: this environment runs what is in manifests/{step.target}",
        "noop": kind != step.target or ("```diff" not in step.diff and not step.diff.startswith("_first")),
    }
    if kind == step.target:
        out |= {
            "identity": step.identity,
            "difference from live": dg.MetadataValue.md(step.diff[:LONGEST]),
            "seconds": step.seconds,
        }
    return out


def of_rollout(step: RolloutStep, service: str) -> Metadata:
    out: Metadata = {
        "state": step.services.get(service, "—"),
        "release": f"r{step.seq}",
        "noop": step.noop,
        "seconds": float(step.seconds),
    }
    out |= _timings(step.timings)
    if step.repaired:
        out["repaired drift"] = points(change.line() for change in step.repaired[:50])
    return out


def _timings(timings: dict[str, float]) -> Metadata:
    return {f"seconds: {phase}": float(seconds) for phase, seconds in timings.items()}


_MARK = {"passed": "✓", "failed": "✗", "skipped": "–"}


def of_verdict(verdict: Verdict, began: str = "") -> Metadata:
    """`began` is when the step began: an older verdict was reused."""
    rows = [
        f"| {_MARK[case.outcome]} | {_cell(case.name)} | {case.seconds:.2f} | {_cell(_first(case.message))} |"
        for case in verdict.cases
    ]
    table = "\n".join(["| | test | seconds | message |", "|---|---|---:|---|", *rows])
    out: Metadata = {
        "passed": verdict.passed,
        "noop": bool(verdict.finished_at) and verdict.finished_at < began,
        "cause": verdict.cause or "—",
        "tests": dg.MetadataValue.md(table if rows else "_no test was executed_"),
        "tests passed": sum(case.outcome == "passed" for case in verdict.cases),
        "tests failed": sum(case.outcome == "failed" for case in verdict.cases),
        "seconds": float(verdict.seconds),
    }
    if verdict.logs:
        parts = [f"**{name}**\n```\n{chr(10).join(lines)}\n```" for name, lines in verdict.logs.items()]
        out["logs"] = dg.MetadataValue.md("\n".join(parts)[:LONGEST])
    return out


def of_record(record: Record) -> Metadata:
    intent, outcome = record.intent, record.outcome
    out: Metadata = {
        "release": f"r{record.seq}",
        "revision": intent.revision,
        "by": intent.actor,
        "run": intent.run_id,
        "promoted from": intent.promoted_from or "—",
        "tested before traffic": intent.tested_before_traffic,
        "identity": intent.identity,
    }
    if outcome is not None:
        out |= {
            "serves": f"r{outcome.serves}",
            "state": outcome.state,
            "finished at": outcome.finished_at,
            "newest backup": outcome.backup or "—",
            "release seconds": float(outcome.seconds),
            **_timings(outcome.timings),
        }
    return out


def of_release(step: ReleaseStep) -> Metadata:
    links = {f"open {name}": dg.MetadataValue.url(url) for name, url in step.endpoints.items()}
    return {**links, **of_record(step.record), "noop": step.noop}


def of_health(step: HealthStep) -> Metadata:
    rows = [
        f"| {'✓' if f.ok else '✗'} | {_cell(f.object)} | {_cell(f.message)} | {_cell(f.remedy)} |"
        for f in step.findings
    ]
    table = "\n".join(["| | what | finding | what to type |", "|---|---|---|---|", *rows])
    return {
        "healthy": step.healthy,
        "live": step.live or "—",
        "findings": dg.MetadataValue.md(table),
        "seconds": float(step.seconds),
    }


def of_drift(changes: Sequence[str]) -> Metadata:
    return {"differences": len(changes), "what differs": points(changes)}


def of_part(part: BackupPart) -> Metadata:
    return {
        "plain (bytes)": part.plain_bytes,
        "stored (bytes)": part.stored_bytes,
        "tables": part.tables,
        "rows": part.rows,
        "server": f"{part.kind} {part.version}",
        "sha256": part.sha256,
        "seconds": float(part.seconds),
        **_timings(part.steps),
    }


def of_backup(result: BackupResult) -> Metadata:
    return {
        "set": result.set_id,
        "data of": result.data_time,
        "release": f"r{result.release}",
        "plain (bytes)": result.plain_bytes,
        "stored (bytes)": result.stored_bytes,
        "compression": float(result.ratio),
        "dump throughput (bytes/s)": float(result.throughput),
        "rows": result.rows,
        "signed by": result.signer,
        "warnings": points(result.warnings),
        "sets removed": points(f"`{name}`: {why}" for name, why in result.removed.items()),
        "problems": points(result.problems),
        "seconds": float(result.seconds),
    }


def of_drill(result: DrillResult) -> Metadata:
    return {
        "set": result.set_id,
        "measured recovery time (s)": float(result.recovery_seconds),
        "age of the data (s)": float(result.age_seconds),
        "rows compared": result.rows,
        "tables compared": result.tables,
        "restored (bytes)": result.plain_bytes,
        "restored into": result.image,
        "seconds": float(result.seconds),
        **_timings(result.steps),
    }


def _first(text: str) -> str:
    return text.splitlines()[0] if text else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")[:300]
