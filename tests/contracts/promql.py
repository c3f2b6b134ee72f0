"""Queries, read: which metrics they ask for, and by which labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

__all__ = ["Selected", "grouped", "selected"]


@dataclass(frozen=True)
class Selected:
    """A metric that a query asks for, and the labels that it chooses by."""

    name: str
    labels: frozenset[str]


def selected(expression: str) -> list[Selected]:
    """Return what a query asks for.

    Raises:
        ValueError: it is no PromQL.
    """
    return [
        Selected(node.name or "", frozenset(each.name for each in node.matchers.matchers))
        for node in _walk(promql_parser.parse(expression))
        if isinstance(node, promql_parser.VectorSelector)
    ]


def grouped(expression: str) -> list[tuple[frozenset[str], list[Selected]]]:
    """Return the labels of each `by` of a query, and what it is taken over."""
    found = []
    for node in _walk(promql_parser.parse(expression)):
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            below = [
                Selected(each.name or "", frozenset())
                for each in _walk(node.expr)
                if isinstance(each, promql_parser.VectorSelector)
            ]
            found.append((frozenset(node.modifier.labels), below))
    return found


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for part in ("lhs", "rhs", "expr", "args", "vector_selector"):
        below = getattr(node, part, None)
        for each in below if isinstance(below, list) else [below]:
            if each is not None:
                yield from _walk(each)
