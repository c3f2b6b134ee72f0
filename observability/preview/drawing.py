"""The page: panels where the grid has them, each with its title, and what has no data says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from observability.dashboards.reading import Cell, ReadPanel
from observability.preview.asking import Answer, Span
from observability.preview.colours import FAINT, INK, named
from observability.preview.exceptions import EXCEPTIONS, WITHOUT_WATCH
from observability.preview.kinds import KINDS, OVER_TIME

__all__ = ["Mark", "draw"]

_COLUMN: Final = 0.8  # inches
_LINE: Final = 0.36
_HEAD: Final = 0.8
_DPI: Final = 90

Mark: TypeAlias = tuple[str, str, Sequence[float]]
"""What an annotation marks: its name, its colour, and the moments."""


def draw(
    path: Path,
    panels: Sequence[ReadPanel],
    answers: Mapping[int, Answer],
    marks: Sequence[Mark],
    span: Span,
) -> None:
    """Draw all panels into a PNG.

    Args:
        path: the file; it is written over.
        panels: rows and panels.
        answers: what each panel got, by its id.
        marks: what is marked in each panel with an axis of time.
        span: the time that is drawn.
    """
    lines = max(panel.cell.y + panel.cell.height for panel in panels)
    figure = Figure(figsize=(24 * _COLUMN, lines * _LINE + _HEAD), dpi=_DPI, facecolor="#f4f5f7")
    page = _Page(figure, lines)
    page.head(marks, span)
    for panel in panels:
        if panel.kind == "row":
            page.heading(panel)
        else:
            page.panel(answers[panel.id], marks, span)
    FigureCanvasAgg(figure)
    figure.savefig(path)


class _Page:
    """A figure whose parts are laid by the dashboard's grid."""

    def __init__(self, figure: Figure, lines: int) -> None:
        self._figure = figure
        self._height = lines * _LINE + _HEAD

    def _at(self, x: float, y: float) -> tuple[float, float]:
        """Return where columns and lines of the grid are, as shares from the lower left."""
        return x / 24, 1 - (y * _LINE + _HEAD) / self._height

    def head(self, marks: Sequence[Mark], span: Span) -> None:
        """Say what this is, and what it is not."""
        start, end = (datetime.fromtimestamp(each, UTC) for each in (span.start, span.end))
        self._figure.text(
            0.008,
            1 - 0.3 / self._height,
            "GreenLang secrets: preview, not Grafana",
            fontsize=15,
            fontweight="bold",
            color=INK,
            va="center",
        )
        self._figure.text(
            0.008,
            1 - 0.6 / self._height,
            f"{start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC, rates over {span.rate_interval}",
            fontsize=9,
            color=FAINT,
            va="center",
        )
        for index, (name, colour, _) in enumerate(marks):
            self._figure.text(
                0.6 + index * 0.12,
                1 - 0.45 / self._height,
                f"┆ {name}",
                fontsize=10,
                color=named(colour),
                va="center",
            )

    def heading(self, panel: ReadPanel) -> None:
        """Write a row's title."""
        x, y = self._at(0.2, panel.cell.y + 0.6)
        self._figure.text(x, y, panel.title, fontsize=12, fontweight="bold", color=INK, va="center")

    def panel(self, answer: Answer, marks: Sequence[Mark], span: Span) -> None:
        """Draw a panel, and mark in it what happened."""
        panel = answer.panel
        self._frame(panel)
        axes = self._axes(panel)
        silent = answer.silent
        if len(silent) == len(panel.targets):
            self._nothing(axes, panel)
            return
        KINDS[panel.kind](axes, answer)
        if panel.kind in OVER_TIME:
            axes.set_xlim(span.start, span.end)
            for _, colour, moments in marks:
                for moment in moments:
                    axes.axvline(
                        moment, color=named(colour), linestyle=":", linewidth=0.9, alpha=0.8
                    )
        if silent:
            self._partly(panel, silent)

    def _frame(self, panel: ReadPanel) -> None:
        cell = panel.cell
        left, bottom = self._at(cell.x + 0.06, cell.y + cell.height - 0.12)
        right, top = self._at(cell.x + cell.width - 0.06, cell.y + 0.12)
        self._figure.add_artist(
            Rectangle(
                (left, bottom),
                right - left,
                top - bottom,
                transform=self._figure.transFigure,
                facecolor="white",
                edgecolor="#d8dbde",
                linewidth=0.6,
                zorder=-1,
            )
        )
        x, y = self._at(cell.x + 0.18, cell.y + 0.62)
        self._figure.text(x, y, panel.title, fontsize=8.5, color=INK, va="center")
        x, y = self._at(cell.x + cell.width - 0.18, cell.y + 0.62)
        self._figure.text(x, y, str(panel.id), fontsize=6, color=FAINT, va="center", ha="right")

    def _axes(self, panel: ReadPanel) -> Axes:
        inside = _inside(panel)
        left, bottom = self._at(inside[0], inside[3])
        right, top = self._at(inside[2], inside[1])
        return self._figure.add_axes((left, bottom, right - left, top - bottom), facecolor="white")

    def _nothing(self, axes: Axes, panel: ReadPanel) -> None:
        axes.axis("off")
        excused = all(_excused(panel, target.letter) for target in panel.targets)
        axes.text(
            0.5,
            0.5,
            "no data" + (" (as listed)" if excused else ""),
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=14,
            color=FAINT if excused else named("red"),
        )

    def _partly(self, panel: ReadPanel, silent: Sequence[str]) -> None:
        excused = all(_excused(panel, letter) for letter in silent)
        cell = panel.cell
        x, y = self._at(cell.x + cell.width - 0.6, cell.y + 0.62)
        self._figure.text(
            x,
            y,
            f"no data: {', '.join(silent)}",
            fontsize=7,
            color=FAINT if excused else named("red"),
            va="center",
            ha="right",
        )


def _excused(panel: ReadPanel, letter: str) -> bool:
    return (panel.id, letter) in {**EXCEPTIONS, **WITHOUT_WATCH}


def _inside(panel: ReadPanel) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of what is drawn, in columns and lines of the grid."""
    cell: Cell = panel.cell
    left, bottom = 0.2, 0.35
    if panel.kind in OVER_TIME:
        left, bottom = 0.75, 2.1 if panel.kind != "heatmap" else 0.9
    if panel.kind == "state-timeline":
        left = 1.8
    if panel.kind == "bargauge":
        left = 1.8
    return (
        cell.x + left,
        cell.y + 1.1,
        cell.x + cell.width - (0.75 if panel.kind in OVER_TIME else 0.2),
        cell.y + cell.height - bottom,
    )
