"""Our Markdown, read: sections, tables, code blocks and links. As much as our pages use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "anchors", "blocks", "links", "pages", "prose", "rows", "section"]

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^```([a-z]*)\s*$")
_HEADING = re.compile(r"^(#{1,6}) (.+?)\s*$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_LINK_TEXT = re.compile(r"\[([^\]]*)\]\([^)\s]+\)")
_CELL = re.compile(r"(?<!\\)\|")


def pages() -> list[Path]:
    """Return every Markdown page of the project."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    language: str
    text: str
    line: int  # of the page, on which its text begins


def blocks(text: str) -> list[Block]:
    """Return the fenced code blocks of a page."""
    found: list[Block] = []
    language: str | None = None
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.match(line)
        if language is None:
            if fence:
                language, lines = fence[1], []
        elif fence:
            found.append(Block(language, "\n".join(lines) + "\n", number - len(lines)))
            language = None
        else:
            lines.append(line)
    return found


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines that are neither code nor a table."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside and not line.startswith("|"):
            yield number, line


def section(text: str, heading: str) -> str:
    """Return what stands under ``## heading``, up to the next heading of that level.

    Raises:
        LookupError: the page has no such heading.
    """
    lines = text.splitlines()
    if f"## {heading}" not in lines:
        raise LookupError(f"no heading {heading!r}")
    inside: list[str] = []
    for line in lines[lines.index(f"## {heading}") + 1 :]:
        found = _HEADING.match(line)
        if found and len(found[1]) <= 2:
            break
        inside.append(line)
    return "\n".join(inside)


def rows(text: str) -> list[tuple[str, ...]]:
    """Return the rows of every table in `text`, without the heads."""
    found: list[tuple[str, ...]] = []
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        cells = [cell.strip() for cell in _CELL.split(line.strip())[1:-1]]
        if before.startswith("|"):
            found.append(tuple(_plain(cell) for cell in cells))
    return found


def _plain(cell: str) -> str:
    """A cell as its reader sees it: a link's text, code without its quotes."""
    return _LINK_TEXT.sub(r"\1", cell).replace("\\|", "|").replace("`", "")


def links(text: str) -> list[str]:
    """Return the targets of inline links outside code blocks."""
    return [target for _, line in _outside_code(text) for target in _LINK.findall(line)]


def anchors(text: str) -> set[str]:
    """Return the anchors that a page's headings make."""
    names = set()
    for _, line in _outside_code(text):
        found = _HEADING.match(line)
        if found:
            words = re.sub(r"[^\w\- ]", "", found[2].lower())
            names.add(words.replace(" ", "-"))
    return names


def _outside_code(text: str) -> Iterator[tuple[int, str]]:
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line
