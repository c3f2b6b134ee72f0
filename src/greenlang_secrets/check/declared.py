"""Files that were printed from declared needs, compared with what the needs say now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path

from greenlang_secrets.check.findings import Finding, Place
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.needs import Needs
from greenlang_secrets.needs.form import PROGRAM, Form
from greenlang_secrets.needs.printing import printed

__all__ = ["differences"]


def differences(
    texts: Mapping[Path, str], declared: Mapping[str, type[Needs]]
) -> Iterator[Finding]:
    """Yield each file that is not what its first line says that it is printed by.

    The classes of that line are taken from `declared` and never imported: a file that is checked
    says nothing about what is run.

    Raises:
        ConfigurationError: no file is printed from one of `declared`.
    """
    compared = set()
    for file, text in texts.items():
        lines = text.splitlines()
        place = Place(file=file, line=1)
        try:
            form = Form.of(lines[0]) if lines else None
        except ConfigurationError:
            yield Finding(
                rule="needs_differ",
                place=place,
                what="the line that says how it is printed is no command",
                fix=f"Print it anew with {PROGRAM}.",
            )
            continue
        if form is None:
            continue
        if form.source not in declared:
            yield Finding(
                rule="needs_unchecked",
                place=place,
                what=f"is printed from {form.source}, and was not compared with it",
                fix=f"Check it with --needs {form.source}.",
            )
            continue
        compared.add(form.source)
        wanted = printed(form, declared[form.source].declared).splitlines()
        line = _first_difference(lines, wanted)
        if line is not None:
            yield Finding(
                rule="needs_differ",
                place=Place(file=file, line=min(line, len(lines))),
                what=f"is not what {form.source} declares"
                + (f": expected {wanted[line - 1].strip()!r}" if line <= len(wanted) else ""),
                fix=f"Print it anew: {form.command}",
            )
    for source in declared:
        if source not in compared:
            raise ConfigurationError(
                f"No file is printed from {source}: print one with {PROGRAM}, and check it."
            )


def _first_difference(lines: list[str], wanted: list[str]) -> int | None:
    for number, (line, expected) in enumerate(zip_longest(lines, wanted), 1):
        if line != expected:
            return number
    return None
