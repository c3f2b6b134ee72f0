"""Numbers as Grafana shows them, by the unit of a panel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

__all__ = ["say"]

_SPANS: Final = (
    (86_400.0, "d"),
    (3_600.0, "h"),
    (60.0, "min"),
    (1.0, "s"),
    (1e-3, "ms"),
    (1e-6, "µs"),
)
_BYTES: Final = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))
_COUNTS: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def say(value: float, unit: str) -> str:
    """Return a value with its unit."""
    if math.isnan(value):
        return "NaN"
    match unit:
        case "percentunit":
            return f"{_short(value * 100)} %"
        case "s":
            return _scaled(value, _SPANS)
        case "ms":
            return _scaled(value / 1000, _SPANS)
        case "bytes":
            return _scaled(value, _BYTES)
        case "ops" | "reqps":
            return f"{_scaled(value, _COUNTS)}/s"
        case _:
            return _scaled(value, _COUNTS)


def _scaled(value: float, scale: Sequence[tuple[float, str]]) -> str:
    if value == 0:
        return "0"
    for size, name in scale:
        if abs(value) >= size:
            return f"{_short(value / size)} {name}".rstrip()
    size, name = scale[-1]
    return f"{_short(value / size)} {name}".rstrip()


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
