"""The document that is kept, and the tables that are made of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.measuring import Finding, Outcome, Samples, not_runnable
from benchmarks.results import document, kept, merged, replaced, rows, targets_table, text, write
from benchmarks.targets import TARGETS

BEGAN = datetime(2026, 11, 26, 7, 0, tzinfo=UTC)
OUTCOME = Outcome(
    findings=(
        Finding(
            what="hit",
            beside="dict",
            values=(1.5, 1.6, 1.7),
            detail="0.6 beside 0.4 us CPU",
            target="cached-dict",
        ),
        Finding(what="hit", beside="aiocache", values=(10.0, 11.0, 12.0), target="cached-aiocache"),
        not_runnable("hit", "it has no wheel", beside="peer", target="cold-hvac"),
    ),
    samples={"hit": Samples(unit="us CPU", values=(0.612345678, 0.6))},
    notes=("A note.",),
)


def test_a_line_says_whether_its_target_is_reached():
    """The median decides; what cannot be run says why, and is never taken for reached."""
    found = rows(document({"cached": OUTCOME}, began=BEGAN))

    assert [row[5:] for row in found] == [
        ["≤ 2×", "yes", "0.6 beside 0.4 us CPU"],
        ["≥ 20×", "no", ""],
        ["≥ 5×", "not measured", "not runnable: it has no wheel"],
    ]
    assert found[0][:5] == ["cached", "hit", "dict", "1.60×", "1.55 to 1.65"]


def test_a_document_comes_back_as_it_was_written(tmp_path):
    """Every sample is kept, to five digits."""
    found = document({"cached": OUTCOME}, began=BEGAN, failed={"cold": "OSError: no disk"})

    write(found, tmp_path / "results" / "x.json")

    assert kept(tmp_path / "results" / "x.json") == found
    assert found["suites"]["cached"]["samples"]["hit"]["values"] == [0.61235, 0.6]


def test_a_document_names_no_machine_and_no_path():
    """What the machine is stands in it, and not which one it is, or where anything lies."""
    said = json.dumps(document({"cached": OUTCOME}, began=BEGAN))

    assert Path.cwd().as_posix() not in said
    assert not re.search(r'"/|hostname', said)
    assert '"cores"' in said


def test_a_terminal_gets_the_table_the_machine_and_the_notes():
    """What is needed to judge the figures stands below them, failures among it."""
    said = text(document({"cached": OUTCOME}, began=BEGAN, failed={"cold": "OSError: no disk"}))

    assert "hit" in said.splitlines()[1]
    assert "A note." in said
    assert "The suite cold failed: OSError: no disk" in said


def test_the_readers_table_has_every_target():
    """What this run did not measure is said so, and is not left out."""
    found = targets_table(document({"cached": OUTCOME}, began=BEGAN))

    assert len(found) == 2 + len(TARGETS)
    assert "| ≤ 2× | 1.60× | 1.55 to 1.65 | yes |" in found[2]
    assert "not runnable: it has no wheel" in "\n".join(found)
    assert "not in this run" in found[-1]


def test_the_last_load_stands_beside_the_last_run():
    """Two commands, one table."""
    run = document({"cached": OUTCOME}, began=BEGAN)
    load = document({"load": Outcome(findings=(), samples={})}, began=BEGAN)

    assert list(merged(run, load)["suites"]) == ["cached", "load"]
    assert merged(run, None) == run


def test_a_page_has_its_table_replaced_and_nothing_else():
    """Between the marks, and only there."""
    page = "before\n<!-- measured: targets -->\nold\n<!-- /measured -->\nafter\n"

    found = replaced(page, "targets", ["| new |"])

    assert found == "before\n<!-- measured: targets -->\n| new |\n<!-- /measured -->\nafter\n"
    assert replaced(found, "targets", ["| new |"]) == found


def test_a_page_without_marks_is_refused():
    """A table that would go nowhere is an error."""
    with pytest.raises(ValueError, match="no marks"):
        replaced("a page\n", "targets", ["| new |"])
