"""HTML that cannot be made without escaping: text is escaped, only `Markup` is not.

Also the little of Markdown that descriptions use: paragraphs, lists, code and bold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Final

__all__ = ["Markup", "inline", "join", "prose", "tag"]

_VOID: Final = frozenset({"meta", "wbr"})
_CODE: Final = re.compile(r"`([^`]+)`")
_BOLD: Final = re.compile(r"\*\*(.+?)\*\*")


class Markup(str):
    """A piece of HTML; made by `tag`, `join`, `inline` and `prose` alone."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str) -> Markup:
    """Return an element; children that are no `Markup` are text, and escaped.

    An attribute's name may end in ``_`` where Python needs that (``class_``), and is left out
    with an empty value.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
        if value
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{join(children)}</{name}>")


def join(children: Iterable[str], between: str = "") -> Markup:
    """Return children one after the other, text escaped."""
    return Markup(
        escape(between).join(
            child if isinstance(child, Markup) else escape(child, quote=False) for child in children
        )
    )


def inline(text: str) -> Markup:
    """Return one line with its code and bold."""
    parts = _CODE.split(text)
    return join(
        tag("code", part) if number % 2 else _bold(part) for number, part in enumerate(parts)
    )


def prose(text: str) -> Markup:
    """Return paragraphs and lists, which blank lines divide; each item is on one line."""
    return join(_block(block) for block in re.split(r"\n\s*\n", text.strip()) if block)


def _block(block: str) -> Markup:
    lines = block.splitlines()
    if all(line.startswith("- ") for line in lines):
        return tag("ul", *(tag("li", inline(line[2:])) for line in lines))
    return tag("p", inline(" ".join(lines)))


def _bold(text: str) -> Markup:
    # Code inside bold is divided first, so a pair of stars is bold only without code inside.
    parts = _BOLD.split(text)
    return join(tag("strong", part) if number % 2 else part for number, part in enumerate(parts))
