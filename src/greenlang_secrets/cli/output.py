"""What commands print: JSON for programs, tables for terminals, tabs for pipes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

__all__ = ["json_option", "pairs", "show", "table"]

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Give a command the option ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def show(document: Mapping[str, object], text: str, *, as_json: bool) -> None:
    """Print `document` as JSON, or else `text`, unless that is empty."""
    if as_json:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif text:
        click.echo(text)


def pairs(rows: Mapping[str, str]) -> None:
    """Print keys and values, aligned on a terminal. No table: that would fold long values, and
    a folded one cannot be copied.
    """
    width = max(map(len, rows), default=0) + 2
    for key, value in rows.items():
        click.echo(f"{key:<{width}}{value}" if sys.stdout.isatty() else f"{key}\t{value}")


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows: as a table on a terminal, else tab-separated and without headings."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415  50 ms that a pipe does not need
    from rich.table import Table  # noqa: PLC0415  the same
    from rich.text import Text  # noqa: PLC0415  the same

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))  # Text: no markup in what others wrote
    Console().print(drawn)
