"""Colours by Grafana's names, and the one that a value or a series has."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from observability.dashboards.reading import ReadPanel

__all__ = ["FAINT", "INK", "by_value", "named", "override", "palette", "word"]

INK: Final = "#24292e"
FAINT: Final = "#8a939c"

_NAMED: Final = {
    "green": "#56a64b",
    "yellow": "#e0b400",
    "orange": "#ff780a",
    "red": "#e02f44",
    "dark-red": "#8f1d2c",
    "blue": "#3274d9",
    "purple": "#a352cc",
}
_SERIES: Final = (
    "#56a64b",
    "#3274d9",
    "#ff780a",
    "#a352cc",
    "#e0b400",
    "#1f9e9e",
    "#c4458a",
    "#6b7a8f",
    "#8c6d31",
    "#e02f44",
)


def named(colour: str) -> str:
    """Return a colour as matplotlib has it."""
    return _NAMED[colour]


def palette(index: int) -> str:
    """Return the colour of a series by its place."""
    return _SERIES[index % len(_SERIES)]


def override(panel: ReadPanel, name: str, property_: str) -> Any:
    """Return what the panel says of the series of a name; None for nothing."""
    for each in panel.json["fieldConfig"]["overrides"]:
        if re.fullmatch(each["matcher"]["options"], name):
            for found in each["properties"]:
                if found["id"] == property_:
                    return found["value"]
    return None


def by_value(steps: Sequence[Mapping[str, Any]], value: float) -> str:
    """Return the colour of the last threshold that a value reaches."""
    found = steps[0]["color"]
    for step in steps[1:]:
        if value >= step["value"]:
            found = step["color"]
    return named(found)


def word(mappings: Sequence[Mapping[str, Any]], value: float) -> tuple[str, str] | None:
    """Return the word that a value is mapped to and its colour; None where there is none."""
    for mapping in mappings:
        found = None if math.isnan(value) else mapping["options"].get(f"{value:g}")
        if found is not None:
            return found["text"], named(found["color"])
    return None
