"""The tables in the documents, made of the results that are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.results import LATEST, LOAD, kept, merged, replaced, targets_table

__all__ = ["PAGES", "render", "rendered"]

_ROOT: Final = Path(__file__).parents[1]
MARK: Final = "<!-- measured: targets -->"
PAGES: Final = (_ROOT / "README.md", _ROOT / "docs/explanation/performance.md")


def rendered() -> Iterator[tuple[Path, str]]:
    """Yield each page that has such a table, and what it should be."""
    found = merged(kept(LATEST), kept(LOAD) if LOAD.exists() else None)
    for page in PAGES:
        if page.exists() and MARK in (text := page.read_text("utf-8")):
            yield page, replaced(text, "targets", targets_table(found))


def render() -> None:
    """Write the pages."""
    for page, text in rendered():
        page.write_text(text, "utf-8")
