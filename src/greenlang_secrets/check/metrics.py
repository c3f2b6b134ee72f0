"""Metrics that rules and dashboards name, against those that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from greenlang_secrets.check.documents import Document, NotYaml, Value, documents
from greenlang_secrets.check.findings import Finding

__all__ = ["metrics_in", "names_in_scrape", "recorded", "unknown_metrics"]

_NAME: Final = re.compile(r"(?<![\w:.$])[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()")
_KEYWORDS: Final = frozenset(
    ["and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end", "default"]
)
_NOT_NAMES: Final = (
    re.compile(r"#[^\n]*"),
    re.compile(r"\{[^{}]*\}"),
    re.compile(r"\[[^\]]*\]"),
    re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", re.IGNORECASE),
    re.compile(r"\b(?:group_left|group_right)\b", re.IGNORECASE),
)
_TEXT: Final = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`", re.DOTALL)
_VARIABLE: Final = re.compile(r"\s*label_values\(\s*([a-zA-Z_:][\w:]*)\s*[,{]")
"""A variable of a dashboard: the values that a label of this metric has."""
_PROMETHEUS: Final = frozenset({"ALERTS", "ALERTS_FOR_STATE", "up"})


def metrics_in(expression: str) -> Iterator[tuple[str, int]]:
    """Yield each metric that a PromQL expression names, and how many lines down."""
    blank = _TEXT.sub(_blank, expression)
    for pattern in _NOT_NAMES:
        blank = pattern.sub(_blank, blank)
    for found in _NAME.finditer(blank):
        if found.group().lower() not in _KEYWORDS:
            yield found.group(), blank.count("\n", 0, found.start())


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found.group())


def names_in_scrape(text: str) -> frozenset[str]:
    """Return the names of a scrape, or of a list with one name a line."""
    names = set()
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["#", "TYPE"] and len(words) > 2:
            # A histogram or counter that has counted nothing has no samples yet.
            names |= {words[2] + end for end in ("", "_bucket", "_sum", "_count", "_total")}
        elif words and not words[0].startswith("#"):
            names.add(words[0].partition("{")[0])
    return frozenset(names)


def recorded(found: Iterable[Document]) -> frozenset[str]:
    """Return the names that recording rules make."""
    return frozenset(
        value.text
        for document in found
        for key, value in document.value.walk()
        if key == "record" and value.text
    )


def unknown_metrics(document: Document, known: frozenset[str]) -> Iterator[Finding]:
    """Yield the metrics of rules and dashboards that are not in `known`."""
    for expression in _expressions(document):
        variable = _VARIABLE.match(expression.text)
        named = [(variable[1], 0)] if variable else metrics_in(expression.text)
        for name, below in named:
            if name not in known | _PROMETHEUS and not name.startswith("scrape_"):
                yield Finding(
                    rule="unknown_metric",
                    place=document.place(expression.line + below),
                    what=f"the metric {name} is not exported",
                    fix="Correct its name, or give a scrape or a list that has it.",
                )


def _expressions(document: Document) -> Iterator[Value]:
    if document.kind == "ConfigMap":
        for key, text in document.value.at("data").members.items():
            if key.endswith(".json"):
                try:
                    for inner in documents(document.file, text.text, first_line=text.line):
                        yield from _expressions(inner)
                except NotYaml:
                    continue  # a ConfigMap may hold anything; what is no JSON is no dashboard
        return
    for key, value in document.value.walk():
        asks = key == "expr" or (key == "query" and _VARIABLE.match(value.text))
        if asks and value.text:
            yield value
