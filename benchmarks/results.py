"""Results: the JSON that is kept, and the tables that are made of it.

`latest.json` is committed; the table of `docs/explanation/performance.md` and README's are made
from it by ``python -m benchmarks render``, and a test holds them equal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import described
from benchmarks.measuring import Finding, Outcome, Spread, number
from benchmarks.targets import TARGETS, TIMES

__all__ = ["LATEST", "LOAD", "document", "kept", "merged", "rows", "targets_table", "text", "write"]

RESULTS: Final = Path(__file__).parent / "results"
LATEST: Final = RESULTS / "latest.json"
LOAD: Final = RESULTS / "load.json"

Document = dict[str, Any]
"""What is kept: JSON."""


def document(
    outcomes: Mapping[str, Outcome], *, began: datetime, failed: Mapping[str, str] | None = None
) -> Document:
    """Return a run as JSON: the machine, each line, and every sample behind it."""
    return {
        "at": began.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 1),
        "machine": described(),
        "suites": {
            name: {
                "findings": [_finding(finding) for finding in outcome.findings],
                "samples": {
                    what: {"unit": found.unit, "values": [_short(value) for value in found.values]}
                    for what, found in outcome.samples.items()
                },
                "notes": list(outcome.notes),
            }
            for name, outcome in outcomes.items()
        },
        "failed": dict(failed or {}),
    }


def _finding(finding: Finding) -> Document:
    found = asdict(finding) | {"values": [_short(value) for value in finding.values]}
    return {name: value for name, value in found.items() if value not in ("", [])}


def _short(value: float) -> float:
    """Five digits that count: what comes after is noise, and a longer file."""
    return float(f"{value:.5g}")


def write(found: Document, path: Path) -> None:
    """Write a document."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def kept(path: Path = LATEST) -> Document:
    """Return a document that was kept."""
    found: Document = json.loads(path.read_text("utf-8"))
    return found


def merged(found: Document, load: Document | None) -> Document:
    """Return a run together with the last load, whose suite it has not."""
    if load is None:
        return found
    return found | {"suites": {**found["suites"], **load["suites"]}}


def rows(found: Document) -> list[list[str]]:
    """Return the table: suite, what, beside, median, spread, target, reached, detail."""
    table = []
    for suite, outcome in found["suites"].items():
        for finding in outcome["findings"]:
            target = TARGETS.get(finding.get("target", ""))
            held = "" if target is None else str(target)
            what, beside = finding["what"], finding.get("beside", "")
            if "not_run" in finding:
                reached = "" if target is None else "not measured"
                why = f"not runnable: {finding['not_run']}"
                table.append([suite, what, beside, "", "", held, reached, why])
                continue
            spread = Spread.of(finding["values"])
            unit = finding.get("unit", "x")
            reached = ""
            if target is not None:
                reached = "yes" if target.reached(spread.median) else "no"
            table.append(
                [
                    suite,
                    what,
                    beside,
                    _value(spread.median, unit),
                    f"{number(spread.low)} to {number(spread.high)}",
                    held,
                    reached,
                    finding.get("detail", ""),
                ]
            )
    return table


def _value(value: float, unit: str) -> str:
    return f"{number(value)}{TIMES}" if unit == "x" else f"{number(value)} {unit}"


def text(found: Document) -> str:
    """Return the table as text, for a terminal."""
    head = ["suite", "what", "beside", "median", "quartiles", "target", "reached", "medians"]
    table = [head, *rows(found)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in table
    ]
    machine = found["machine"]
    load = ", ".join(f"{value:.2f}" for value in machine["load_average"] or ())
    lines += [
        "",
        f"{machine['cores']} cores ({machine['cpu']}), {machine['python']}, {machine['openbao']}.",
        f"{machine['pinning']} Load average at the end: {load}. {found['seconds']:g} s in all.",
    ]
    lines += [note for outcome in found["suites"].values() for note in outcome["notes"]]
    lines += [f"The suite {name} failed: {why}" for name, why in found.get("failed", {}).items()]
    return "\n".join(line.rstrip() for line in lines)


def targets_table(found: Document) -> list[str]:
    """Return a Markdown table with a line for each target, as it was measured last."""
    measured: dict[str, list[Document]] = {}
    for outcome in found["suites"].values():
        for finding in outcome["findings"]:
            measured.setdefault(finding.get("target", ""), []).append(finding)
    lines = ["| What | Target | Measured | Quartiles | Reached |", "|---|---|---|---|---|"]
    for key, target in TARGETS.items():
        found_here = measured.get(key, [{"not_run": "not in this run"}])
        for finding in found_here:
            which = finding["what"] if len(found_here) > 1 else ""
            what = _sentence(target.what, which, finding.get("detail", ""))
            lines.append(f"| {what} | {target} | {_judged(key, finding)} |")
    return lines


def _sentence(what: str, which: str, detail: str) -> str:
    said = what[0].upper() + what[1:]
    more = ": ".join(part for part in (which, detail) if part)
    return f"{said} ({more})" if more else said


def _judged(key: str, finding: Document) -> str:
    if "not_run" in finding:
        return f"not runnable: {finding['not_run']} | | no"
    spread = Spread.of(finding["values"])
    reached = "yes" if TARGETS[key].reached(spread.median) else "no"
    value = _value(spread.median, finding.get("unit", "x"))
    return f"{value} | {number(spread.low)} to {number(spread.high)} | {reached}"


def replaced(page: str, name: str, lines: Iterable[str]) -> str:
    """Return a page with what is between the marks of `name` replaced.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- measured: {name} -->", "<!-- /measured -->"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"the page has no marks {begin} and {end}")
    return "\n".join([before + begin, *lines, end]) + after
