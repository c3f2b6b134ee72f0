"""Files that were printed from declared needs, compared with what the needs say now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

from greenlang_secrets.check.findings import Finding, Place
from greenlang_secrets.check.needs import Need
from greenlang_secrets.errors import ConfigurationError
from greenlang_secrets.needs import Needs
from greenlang_secrets.needs.form import PROGRAM, Form
from greenlang_secrets.needs.printing import place_of, printed

__all__ = ["differences", "reads"]


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


def reads(texts: Mapping[Path, str], declared: Mapping[str, type[Needs]]) -> Iterator[Need]:
    """Yield what programs read by themselves: the needs of each printed policy, at its lines."""
    for file, text in texts.items():
        lines = text.splitlines()
        form: Form | None = None
        with suppress(ConfigurationError):  # told by `differences`
            form = Form.of(lines[0]) if lines else None
        if form is None or form.artefact != "policy" or form.source not in declared:
            continue
        for each in declared[form.source].declared.values():
            place = place_of(form, each.path)
            path = str(place.api("data"))
            named = [n for n, line in enumerate(lines, 1) if f'"{path}"' in line]
            yield Need(
                role=form.name,
                path=path,
                capability="read",
                place=Place(file=file, line=named[0] if named else 1),
                secret="/".join((form.kv_mount, *place.segments)),
                field=each.field or "",
            )


def _first_difference(lines: list[str], wanted: list[str]) -> int | None:
    for number, (line, expected) in enumerate(zip_longest(lines, wanted), 1):
        if line != expected:
            return number
    return None
