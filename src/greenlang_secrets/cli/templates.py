"""Templates of ``run``: a text in which ``{{ secret PATH#FIELD }}`` stands for a value."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import click

from greenlang_secrets.cli.fields import Reference

__all__ = ["Template"]

# What begins so is ours; other braces are left alone, as they may be another program's.
_BEGIN: Final = re.compile(r"\{\{-?\s*secret\b")
_WHOLE: Final = re.compile(
    r"\{\{\s*secret\s+([^\s{}#|\"']+#[^\s{}|\"']+)\s*(?:\|\s*([a-z]+)\s*)?\}\}"
)

_FILTERS: Final[Mapping[str, Callable[[str], str]]] = {
    "json": lambda text: json.dumps(text, ensure_ascii=False),
    "url": lambda text: quote(text, safe=""),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A text, and the values it asks for.

    Attributes:
        name: its file, for errors.
        references: every value, in the order in which they stand there.
    """

    name: str
    text: str
    references: tuple[Reference, ...]

    @classmethod
    def parse(cls, name: str, text: str) -> Template:
        """Return the template in a file.

        Raises:
            click.UsageError: something begins like a reference, and is none.
            InvalidPath, ReservedName: a path is outside the grammar.
        """
        whole = {found.start(): found for found in _WHOLE.finditer(text)}
        for begun in _BEGIN.finditer(text):
            found = whole.get(begun.start())
            if found is None or (found[2] is not None and found[2] not in _FILTERS):
                line = text.count("\n", 0, begun.start()) + 1
                filters = " or ".join(_FILTERS)
                raise click.UsageError(
                    f"Line {line} of {name!r}: write {{{{ secret PATH#FIELD }}}}, with | {filters} "
                    "before the end if the text must be quoted."
                )
        return cls(name, text, tuple(Reference.parse(found[1]) for found in whole.values()))

    def render(self, values: Mapping[Reference, str]) -> str:
        """Return the text with the values in it."""

        def value(found: re.Match[str]) -> str:
            text = values[Reference.parse(found[1])]
            return text if found[2] is None else _FILTERS[found[2]](text)

        return _WHOLE.sub(value, self.text)
