"""What is said of performance, held against what was measured and what measures it."""

from __future__ import annotations

import re

import pytest

from benchmarks.__main__ import SUITES
from benchmarks.rendering import rendered
from benchmarks.results import LATEST, LOAD, kept, merged, targets_table
from benchmarks.targets import TARGETS
from contracts.markdown import ROOT, rows, section

README = (ROOT / "README.md").read_text("utf-8")
HOW_TO = (ROOT / "docs/how-to/measure-performance.md").read_text("utf-8")
SOURCES = ROOT / "benchmarks" / "suites"


def stale_pages() -> list[str]:
    """Return the pages whose table is not that of the results that are kept."""
    return [
        page.relative_to(ROOT).as_posix()
        for page, text in rendered()
        if page.read_text("utf-8") != text
    ]


def test_the_tables_are_those_of_the_results_that_are_kept():
    """Nobody writes a figure into the table by hand, or forgets it there."""
    assert ROOT / "README.md" in {page for page, _ in rendered()}
    assert stale_pages() == []


def test_a_figure_changed_by_hand_is_found(monkeypatch):
    """The control: other results make another table."""
    found = merged(kept(LATEST), kept(LOAD))
    table = targets_table(found)
    finding = next(
        each
        for outcome in found["suites"].values()
        for each in outcome["findings"]
        if each.get("target") == "cached-dict"
    )
    finding["values"] = [1234.5]

    assert targets_table(found) != table


def test_readers_see_every_target():
    """The README's table has each target with its limit, reached or not."""
    shown = [row[1] for row in rows(section(README, "What it costs"))]

    assert len(shown) >= len(TARGETS)
    assert {str(target) for target in TARGETS.values()} == set(shown)


def suites_apart(text: str) -> set[str]:
    """Return the suites that only one of page, command and folder knows."""
    shown = {row[0].strip("`") for row in rows(section(text, "Run some of it"))}
    files = {path.stem for path in SOURCES.glob("*.py")} - {"__init__"}
    return (shown ^ set(SUITES)) | (files ^ set(SUITES))


def test_every_suite_is_explained():
    """The how-to lists what the command offers, and the command what there is."""
    assert suites_apart(HOW_TO) == set()


def test_a_suite_without_explanation_is_found():
    """The control: a suite under another name is told, and the one it replaced."""
    assert suites_apart(HOW_TO.replace("| `mixed` |", "| `shaken` |")) == {"mixed", "shaken"}


def test_every_target_is_measured():
    """A target that no suite holds itself to would be a promise of nobody."""
    sources = "\n".join(
        path.read_text("utf-8") for path in [*SOURCES.glob("*.py"), ROOT / "benchmarks/load.py"]
    )

    assert {key for key in TARGETS if f'"{key}"' not in sources} == set()


@pytest.mark.parametrize("path", [LATEST, LOAD], ids=lambda path: path.name)
def test_what_is_kept_names_no_machine(path):
    """A result says what kind of machine it is from, and nothing that leads to it."""
    text = path.read_text("utf-8")

    assert {"cores", "cpu", "python", "packages", "openbao", "pinning", "load_average"} <= set(
        kept(path)["machine"]
    )
    assert re.findall(r'"/[a-z]|@|127\.0\.0\.1|token', text.replace("tokens and leases", "")) == []
