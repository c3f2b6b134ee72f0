"""The navigation of the site: what ``docs/index.md`` lists, in its order and in its words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from documentation.places import DOCS, ROOT, led

__all__ = ["Section", "navigation"]

_HEADING = re.compile(r"^## (.+)$")
_ENTRY = re.compile(r"\[([^\]]+)\]\(([^)#\s:]+)\)")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One kind of pages, and its pages: each its title, unless it is the page's own, and source."""

    title: str
    pages: tuple[tuple[str | None, str], ...]


def navigation(index: str) -> list[Section]:
    """Return the sections of `index`, the text of ``docs/index.md``, and one of all problems.

    A page is where the first link to it is; the pages of problems are listed by no page but the
    reference of REST, and are all alike.
    """
    sections: dict[str, dict[str, str | None]] = {}
    seen: set[str] = set()
    title = ""
    for line in led(index, DOCS / "index.md").splitlines():
        if heading := _HEADING.match(line):
            title = heading[1]
            sections[title] = {}
        elif line.startswith("- "):
            for words, source in _ENTRY.findall(line):
                if source not in seen:
                    sections[title][source] = words[0].upper() + words[1:]
                    seen.add(source)
    problems = sorted((ROOT / DOCS / "problems").glob("*.md"))
    sections["Problems"] = {f"problems/{page.name}": None for page in problems}
    return [
        Section(title=title, pages=tuple((words, source) for source, words in pages.items()))
        for title, pages in sections.items()
    ]
