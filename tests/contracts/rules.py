"""Our rules, read: their alerts, what they ask for, and the means to try them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from contracts.markdown import ROOT
from observability.alert_rules import ALERTS, RECORDING, alerting
from observability.tools import tool
from observability.yaml_files import load

__all__ = [
    "FOLDER",
    "alerts",
    "expressions",
    "metrics_in",
    "names",
    "run",
    "seconds",
    "windows",
    "write_yaml",
]

FOLDER = ROOT / "observability"

_STRING = re.compile(r'"[^"]*"')
_MATCHERS = re.compile(r"\{[^}]*\}")
_RANGE = re.compile(r"\[([^\]:]+)[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "by", "on", "bool", "offset"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def alerts() -> list[Mapping[str, Any]]:
    """Return every alerting rule, as it is written by hand."""
    return list(alerting(load(ALERTS)))


def names() -> set[str]:
    """Return the name of every alert."""
    return {rule["alert"] for rule in alerts()}


def expressions() -> Iterator[tuple[str, str]]:
    """Yield the name and the query of every rule, recorded ones as well."""
    for path in (ALERTS, RECORDING):
        for group in load(path)["groups"]:
            for rule in group["rules"]:
                yield rule.get("alert", rule.get("record")), rule["expr"]


def metrics_in(expression: str) -> set[str]:
    """Return the names of the metrics that a query asks for."""
    bare = _MATCHERS.sub("", _STRING.sub("", expression))
    bare = _GROUPING.sub(" ", _RANGE.sub("", bare))
    return {name for name in _NAME.findall(bare) if name not in _WORDS}


def windows(expression: str) -> set[float]:
    """Return the seconds of every window in a query."""
    return {seconds(text) for text in _RANGE.findall(_STRING.sub("", expression))}


def seconds(text: str) -> float:
    """Return what a duration of Prometheus', such as ``1h30m``, is in seconds."""
    parts = re.findall(r"(\d+)(ms|[smhdw])", text)
    assert "".join(number + unit for number, unit in parts) == text, text
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool, and return what it said."""
    command = [tool(program), *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=100, cwd=ROOT
    )


def write_yaml(path: Path, document: Any) -> Path:
    """Write a document to a file, and return the file."""
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path
