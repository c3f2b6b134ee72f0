"""One function for each kind of panel, which draws an answer into a rectangle of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle, Wedge
from matplotlib.ticker import FuncFormatter, MaxNLocator

from observability.dashboards.reading import ReadPanel
from observability.preview.asking import Answer, Series
from observability.preview.colours import FAINT, INK, by_value, named, override, palette, word
from observability.preview.units import say

__all__ = ["KINDS", "OVER_TIME"]

_LEGEND: Final = 9  # names, of the series with the highest peaks: more would leave the panel


def _defaults(panel: ReadPanel) -> Mapping[str, Any]:
    defaults: Mapping[str, Any] = panel.json["fieldConfig"]["defaults"]
    return defaults


def _unit(panel: ReadPanel) -> str:
    unit: str = _defaults(panel)["unit"]
    return unit


def _steps(panel: ReadPanel) -> Sequence[Mapping[str, Any]]:
    steps: Sequence[Mapping[str, Any]] = _defaults(panel)["thresholds"]["steps"]
    return steps


def _colour(panel: ReadPanel, series: Series, index: int) -> str:
    fixed = override(panel, series.name, "color")
    return named(fixed["fixedColor"]) if fixed else palette(index)


def _over_time(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    axes.tick_params(labelsize=6, colors=FAINT, length=2)
    axes.set_axisbelow(b=True)
    axes.grid(visible=True, linewidth=0.3, color="#e3e6e8")
    for side in axes.spines.values():
        side.set_visible(False)


def _clock(time: float, _: object) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%H:%M:%S}"


def _timeseries(axes: Axes, answer: Answer) -> None:
    panel = answer.panel
    custom = _defaults(panel).get("custom", {})
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    series = sorted(answer.series, key=_peak, reverse=not stacked)
    right = [each for each in series if override(panel, each.name, "unit")]
    left = [each for each in series if each not in right]
    _over_time(axes)
    handles: list[Any] = []
    if stacked:
        handles += _stacked(axes, panel, left, bars=custom.get("drawStyle") == "bars")
    else:
        handles += [_line(axes, panel, each, index) for index, each in enumerate(left)]
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: say(value, _unit(panel))))
    # As axisSoftMin: from 0 on, with some air above; a line at 0 is to be seen, too.
    low, high = axes.get_ylim()
    flat = all(value == 0 for each in left for value in each.values if not math.isnan(value))
    axes.set_ylim((-0.03, 1) if flat else (min(low, -0.02 * high), max(high, 0)))
    if right:
        second = axes.twinx()
        second.tick_params(labelsize=6, colors=FAINT, length=2)
        for side in second.spines.values():
            side.set_visible(False)
        unit = override(panel, right[0].name, "unit")
        second.yaxis.set_major_formatter(FuncFormatter(lambda value, _: say(value, unit)))
        place = len(left)
        handles += [_line(second, panel, each, place + index) for index, each in enumerate(right)]
        second.set_ylim(0, max(1.0, second.get_ylim()[1]))
    if custom.get("thresholdsStyle", {}).get("mode") == "dashed":
        _across(axes, panel)
    axes.legend(
        handles=handles[:_LEGEND],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.1),
        ncols=3,
        fontsize=6,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.0,
        labelcolor=INK,
    )


def _peak(series: Series) -> float:
    return max((value for value in series.values if not math.isnan(value)), default=0.0)


def _line(axes: Axes, panel: ReadPanel, series: Series, index: int) -> Any:
    moments, values, colour = series.times, series.values, _colour(panel, series, index)
    [line] = axes.plot(moments, values, linewidth=1.1, color=colour, label=series.name)
    axes.fill_between(moments, values, color=colour, alpha=0.06, linewidth=0)
    return line


def _stacked(
    axes: Axes, panel: ReadPanel, series: Sequence[Series], *, bars: bool
) -> Sequence[Any]:
    """Draw parts of one sum; a series that is not there at a moment is 0 then."""
    times = sorted({time for each in series for time in each.times})
    width = min((later - earlier for earlier, later in pairwise(times)), default=1.0)
    base = np.zeros(len(times))
    handles = []
    for index, each in enumerate(series):
        there = dict(zip(each.times, each.values, strict=True))
        values = np.nan_to_num(np.array([there.get(time, 0.0) for time in times]))
        colour = _colour(panel, each, index)
        if bars:
            drawn: Any = axes.bar(
                times, values, bottom=base, width=width, color=colour, label=each.name
            )
        else:
            drawn = axes.fill_between(
                times, base, base + values, color=colour, alpha=0.55, label=each.name, linewidth=0
            )
        handles.append(drawn)
        base = base + values
    return handles


def _across(axes: Axes, panel: ReadPanel) -> None:
    """Draw the thresholds that are in sight, or nearly."""
    low, high = axes.get_ylim()
    for step in _steps(panel)[1:]:
        if low <= step["value"] <= high * 2:
            axes.axhline(step["value"], linestyle="--", linewidth=0.8, color=named(step["color"]))


def _stat(axes: Axes, answer: Answer) -> None:
    axes.axis("off")
    panel, count = answer.panel, len(answer.series)
    several = panel.json["options"].get("textMode") == "value_and_name"
    for index, each in enumerate(answer.series):
        mapped = word(_defaults(panel).get("mappings", []), each.last)
        text, colour = mapped or (
            say(each.last, _unit(panel)),
            by_value(_steps(panel), each.last),
        )
        left = index / count
        axes.add_patch(
            Rectangle((left + 0.01, 0), 1 / count - 0.02, 1, transform=axes.transAxes, color=colour)
        )
        middle = left + 0.5 / count
        _text(axes, (middle, 0.58 if several else 0.5), text, 15 if count < 3 else 11)
        if several:
            _text(axes, (middle, 0.2), each.name, 7)


def _text(axes: Axes, place: tuple[float, float], text: str, size: float) -> None:
    axes.text(
        *place,
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=size,
        color="white",
    )


def _gauge(axes: Axes, answer: Answer) -> None:
    axes.axis("off")
    panel, value = answer.panel, answer.series[0].last
    low, high = _defaults(panel)["min"], _defaults(panel)["max"]
    share = 0.0 if math.isnan(value) else min(1.0, max(0.0, (value - low) / (high - low)))
    axes.set_xlim(-1.6, 1.6)
    axes.set_ylim(-0.1, 1.1)
    axes.set_aspect("equal")
    axes.add_patch(Wedge((0, 0), 1, 0, 180, width=0.3, color="#e8ebed"))
    colour = by_value(_steps(panel), value)
    axes.add_patch(Wedge((0, 0), 1, 180 - 180 * share, 180, width=0.3, color=colour))
    axes.text(0, 0.15, say(value, _unit(panel)), ha="center", va="center", fontsize=12, color=INK)


def _bargauge(axes: Axes, answer: Answer) -> None:
    panel = answer.panel
    series = sorted(answer.series, key=lambda each: each.last, reverse=True)
    names = [each.name for each in series]
    values = [each.last for each in series]
    colours = [by_value(_steps(panel), value) for value in values]
    axes.barh(names, values, color=colours, height=0.6)
    for index, value in enumerate(values):
        axes.text(
            max(value, 0), index, f" {say(value, _unit(panel))}", va="center", fontsize=7, color=INK
        )
    axes.set_xlim(0, max([*values, 1e-9]) * 1.25)
    axes.set_ylim(-0.7, max(len(series) - 0.3, 2.3))
    axes.tick_params(labelsize=7, colors=INK, length=0, labelbottom=False)
    for side in axes.spines.values():
        side.set_visible(False)


def _state_timeline(axes: Axes, answer: Answer) -> None:
    _over_time(axes)
    mappings = _defaults(answer.panel)["mappings"]
    shown: dict[str, str] = {}
    for row, each in enumerate(answer.series):
        moments = each.times
        width = (moments[-1] - moments[0]) / max(1, len(moments) - 1)
        for moment, value in zip(moments, each.values, strict=True):
            text, colour = word(mappings, value) or (f"{value:g}", FAINT)
            shown[text] = colour
            axes.barh(row, width, left=moment, color=colour, height=0.8)
    axes.set_yticks(range(len(answer.series)), [each.name for each in answer.series])
    axes.set_ylim(-0.6, len(answer.series) - 0.4)
    axes.legend(
        [Rectangle((0, 0), 1, 1, color=colour) for colour in shown.values()],
        list(shown),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.15),
        ncols=5,
        fontsize=6,
        frameon=False,
    )


def _heatmap(axes: Axes, answer: Answer) -> None:
    """Draw buckets, which are cumulative, as the differences of each to the one below it."""
    _over_time(axes)
    series = sorted(answer.series, key=lambda each: float(each.labels["le"]))
    times = sorted({time for each in series for time in each.times})
    rows = []
    for each in series:
        there = dict(zip(each.times, each.values, strict=True))
        rows.append([there.get(time, 0.0) for time in times])
    counts = np.clip(np.diff(np.array(rows), axis=0, prepend=0), 0, None)
    axes.pcolormesh(
        times,
        range(len(series)),
        np.ma.masked_less(counts, 0.01),
        cmap="Oranges",
        shading="nearest",
        vmin=0,
    )
    bounds = [float(each.labels["le"]) for each in series]
    axes.set_yticks(
        range(len(series)),
        ["+Inf" if math.isinf(bound) else say(bound, _unit(answer.panel)) for bound in bounds],
    )


def _table(axes: Axes, answer: Answer) -> None:
    axes.axis("off")
    panel = answer.panel
    [organize] = [
        each["options"]["renameByName"]
        for each in panel.json["transformations"]
        if each["id"] == "organize"
    ]
    letters = [target.letter for target in panel.targets]
    keys = [name for name in organize if not name.startswith("Value")]
    lines: dict[tuple[str, ...], dict[str, float]] = {}
    for each in answer.series:
        key = tuple(each.labels.get(name, "") for name in keys)
        lines.setdefault(key, {})[each.letter] = each.last
    titles = [organize[name] for name in keys]
    titles += [organize[f"Value #{letter}"] for letter in letters]
    height = min(0.16, 1 / (len(lines) + 1))
    _cells(axes, [(title, None) for title in titles], 1 - height, height)
    for row, (key, values) in enumerate(sorted(lines.items()), 2):
        cells: list[tuple[str, str | None]] = [(text, None) for text in key]
        cells += [
            _valued(panel, title, values.get(letter))
            for title, letter in zip(titles[len(key) :], letters, strict=True)
        ]
        _cells(axes, cells, 1 - row * height, height)


def _valued(panel: ReadPanel, title: str, value: float | None) -> tuple[str, str | None]:
    if value is None:
        return "", None
    mapped = word(override(panel, title, "mappings") or [], value)
    if mapped:
        return mapped
    thresholds = override(panel, title, "thresholds")
    colour = by_value(thresholds["steps"], value) if thresholds else None
    return say(value, override(panel, title, "unit") or "short"), colour


def _cells(
    axes: Axes, cells: Sequence[tuple[str, str | None]], bottom: float, height: float
) -> None:
    """Draw a line of a table, each cell a text with the colour behind it."""
    width = 1 / len(cells)
    for column, (text, colour) in enumerate(cells):
        axes.add_patch(
            Rectangle(
                (column * width, bottom),
                width,
                height,
                transform=axes.transAxes,
                facecolor=colour or "none",
                edgecolor="#e3e6e8",
                linewidth=0.5,
            )
        )
        axes.text(
            column * width + 0.01,
            bottom + height / 2,
            text,
            transform=axes.transAxes,
            va="center",
            fontsize=7.5,
            color="white" if colour else INK,
        )


OVER_TIME: Final = frozenset({"timeseries", "state-timeline", "heatmap"})
"""Kinds of panels with an axis of time, in which annotations are marked."""

KINDS: Final[Mapping[str, Callable[[Axes, Answer], None]]] = {
    "timeseries": _timeseries,
    "stat": _stat,
    "gauge": _gauge,
    "bargauge": _bargauge,
    "state-timeline": _state_timeline,
    "heatmap": _heatmap,
    "table": _table,
}
