"""The dashboard as Grafana reads it: panels, their queries, and variables put in.

For tests and for the preview, which must see what is committed and not what the builders mean.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from observability.alert_rules import DASHBOARD

__all__ = ["Cell", "ReadPanel", "Target", "document", "panels", "put_in"]

_VARIABLE: Final = re.compile(r"\$(\w+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A query of a panel."""

    letter: str
    expression: str
    legend: str
    instant: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Where a panel lies on the grid of 24 columns."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadPanel:
    """A panel, or the heading of a row."""

    id: int
    title: str
    kind: str
    row: str
    """The title of the row it is in; its own for a row."""
    cell: Cell
    targets: Sequence[Target]
    json: Mapping[str, Any]
    """All of it, as Grafana has it."""


def document(path: Path = DASHBOARD) -> Mapping[str, Any]:
    """Return the dashboard's JSON."""
    read: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return read


def panels(dashboard: Mapping[str, Any]) -> Sequence[ReadPanel]:
    """Return rows and panels, from above."""
    found: list[ReadPanel] = []
    row = ""
    for panel in dashboard["panels"]:
        row = panel["title"] if panel["type"] == "row" else row
        place = panel["gridPos"]
        found.append(
            ReadPanel(
                id=panel["id"],
                title=panel["title"],
                kind=panel["type"],
                row=row,
                cell=Cell(x=place["x"], y=place["y"], width=place["w"], height=place["h"]),
                targets=[_target(target) for target in panel.get("targets", [])],
                json=panel,
            )
        )
    return found


def _target(target: Mapping[str, Any]) -> Target:
    return Target(
        letter=target["refId"],
        expression=target["expr"],
        legend=target.get("legendFormat", ""),
        instant=target.get("instant", False),
    )


def put_in(expression: str, *, rate_interval: str, quantile: str = "0.95") -> str:
    """Return a query as Prometheus takes it, with everything chosen.

    Raises:
        KeyError: the query has a variable that the dashboard has not.
    """
    chosen = {
        "__rate_interval": rate_interval,
        "quantile": quantile,
        **dict.fromkeys(("environment", "namespace", "instance", "secret_type", "operation"), ".*"),
    }
    return _VARIABLE.sub(lambda match: chosen[match[1]], expression)
