"""Our rules, read, and promtool and amtool, run."""

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
    "WITHIN",
    "alerts",
    "expressions",
    "names",
    "run",
    "seconds",
    "windows",
    "write_yaml",
]

FOLDER = ROOT / "observability"

WITHIN = 280
"""Seconds that promtool may take for all cases of a file: 20 to 40 on two busy cores."""

_WINDOW = re.compile(r"\[(\w+)\]")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


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


def windows(expression: str) -> set[float]:
    """Return the seconds of every window in a query."""
    return {seconds(text) for text in _WINDOW.findall(expression)}


def seconds(text: str) -> float:
    """Return what a duration of Prometheus', such as ``1h30m``, is in seconds."""
    parts = re.findall(r"(\d+)([smhd])", text)
    assert "".join(number + unit for number, unit in parts) == text, text
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool, and return what it said."""
    command = [tool(program), *arguments]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=WITHIN, cwd=ROOT
    )


def write_yaml(path: Path, document: Any) -> Path:
    """Write a document to a file, and return the file."""
    path.write_text(yaml.safe_dump(document), "utf-8")
    return path
