"""Draws boxes and arrows that are written down as text: ``python -m documentation.drawing``.

The text names rows of boxes and the arrows between them, and everything else follows: no place
is written down, so a box more is a line more. The same text gives the same SVG, byte for byte.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

__all__ = ["PICTURES", "Box", "Drawing", "draw", "read"]

_HERE = Path(__file__).resolve().parent
PICTURES = {_HERE / "architecture.txt": _HERE.parent / "docs" / "explanation" / "architecture.svg"}
"""Text to picture."""

WIDTH = 960
MARGIN = 24
BOX_HEIGHT = 58
BETWEEN = 46  # rows
TITLE = 18  # above a row with a name
_GAP = 28  # between the boxes of a row
_LETTER = 6.6  # how wide one is at most, on average

_ARROW = re.compile(r"(\w+) -> (\w+)(?: \| (.+))?")
_STYLE = """\
.page{fill:#fff}.row{fill:#f3f6f5;stroke:#c9d5d1}.box{fill:#fff;stroke:#00796b;stroke-width:1.5}
.title{font-weight:600}.does,.label,.name{font-size:12px;fill:#4a5a56}.name{font-family:monospace}
.label{paint-order:stroke;stroke:#fff;stroke-width:4px}.arrow{stroke:#5c6f6a;fill:none}
text{font-family:system-ui,sans-serif;font-size:15px;fill:#1b2a27}"""

_TIP = """\
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"
orient="auto"><path d="M0 0L8 4L0 8z" fill="#5c6f6a"/></marker></defs>"""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box, with its corner at the upper left."""

    title: str
    does: str
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        """Where its centre is, from the left."""
        return self.x + self.width / 2


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What a text says: boxes by name, rows by name and place, and arrows."""

    boxes: dict[str, Box]
    rows: tuple[tuple[str, float], ...]
    arrows: tuple[tuple[str, str, str], ...]
    height: float


def read(text: str) -> Drawing:
    """Return what a text describes.

    Raises:
        ValueError: a line is neither a row, nor a box, nor an arrow between boxes that there are,
            or does not fit.
    """
    named: list[tuple[str, dict[str, tuple[str, str]]]] = []
    arrows: list[tuple[str, str, str]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        arrow = _ARROW.fullmatch(line.strip())
        if not line.strip() or line.startswith("#"):
            continue
        if arrow:
            arrows.append((arrow[1], arrow[2], arrow[3] or ""))
        elif line == "row" or line.startswith("row "):
            named.append((line[4:].strip(), {}))
        elif len(cells) == 3 and named:
            named[-1][1][cells[0]] = (cells[1], cells[2])
        else:
            raise ValueError(f"neither a row nor a box nor an arrow: {line!r}")
    boxes, rows, height = _placed(named)
    for start, end, _ in arrows:
        if {start, end} - boxes.keys():
            raise ValueError(f"an arrow between what there is not: {start} -> {end}")
    return Drawing(boxes=boxes, rows=rows, arrows=tuple(arrows), height=height)


def _placed(
    named: list[tuple[str, dict[str, tuple[str, str]]]],
) -> tuple[dict[str, Box], tuple[tuple[str, float], ...], float]:
    boxes: dict[str, Box] = {}
    rows: list[tuple[str, float]] = []
    y = float(MARGIN)
    for name, row in named:
        y += TITLE if name else 0
        rows.append((name, y))
        width = (WIDTH - 2 * MARGIN - _GAP * (len(row) + 1)) / max(len(row), 1)
        for place, (each, (title, does)) in enumerate(row.items()):
            x = MARGIN + _GAP + place * (width + _GAP)
            if len(does) * _LETTER > width:
                raise ValueError(f"too long for its box: {does!r}")
            boxes[each] = Box(title=title, does=does, x=x, y=y, width=width)
        y += BOX_HEIGHT + BETWEEN
    return boxes, tuple(rows), y - BETWEEN + MARGIN


def draw(text: str) -> str:
    """Return the picture of a text, as SVG.

    Raises:
        ValueError: as `read`.
    """
    drawing = read(text)
    box = f"0 0 {WIDTH} {drawing.height:g}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img">',
        f"<style>{_STYLE}</style>",
        _TIP,
        f'<rect class="page" width="{WIDTH}" height="{drawing.height:g}" rx="8"/>',
        *(_row(name, y) for name, y in drawing.rows),
        *(_arrow(drawing.boxes[a], drawing.boxes[b]) for a, b, _ in drawing.arrows),
        *(_box(box) for box in drawing.boxes.values()),
        *(
            _label(drawing.boxes[a], drawing.boxes[b], text)
            for a, b, text in drawing.arrows
            if text
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _row(name: str, y: float) -> str:
    band = (
        f'<rect class="row" x="{MARGIN}" y="{y - 10:g}" width="{WIDTH - 2 * MARGIN}" '
        f'height="{BOX_HEIGHT + 20}" rx="6"/>'
    )
    if not name:
        return band
    return f'{band}<text class="name" x="{MARGIN + 4}" y="{y - 16:g}">{escape(name)}</text>'


def _box(box: Box) -> str:
    return (
        f'<rect class="box" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" '
        f'height="{BOX_HEIGHT}" rx="6"/>'
        f'<text class="title" x="{box.middle:g}" y="{box.y + 25:g}" text-anchor="middle">'
        f"{escape(box.title)}</text>"
        f'<text class="does" x="{box.middle:g}" y="{box.y + 44:g}" text-anchor="middle">'
        f"{escape(box.does)}</text>"
    )


def _ends(start: Box, end: Box) -> tuple[float, float, float, float]:
    """Where an arrow begins and ends: at facing sides, towards each other's middle."""
    if start.y == end.y:
        y = start.y + BOX_HEIGHT / 2
        if start.x < end.x:
            return start.x + start.width, y, end.x, y
        return start.x, y, end.x + end.width, y
    lean = (end.middle - start.middle) * 0.3
    begin = start.middle + max(-start.width / 3, min(start.width / 3, lean))
    finish = end.middle - max(-end.width / 3, min(end.width / 3, lean))
    return begin, start.y + BOX_HEIGHT, finish, end.y


def _arrow(start: Box, end: Box) -> str:
    x1, y1, x2, y2 = _ends(start, end)
    return f'<path class="arrow" d="M{x1:g} {y1:g}L{x2:g} {y2:g}" marker-end="url(#tip)"/>'


def _label(start: Box, end: Box, text: str) -> str:
    x1, y1, x2, y2 = _ends(start, end)
    # Where it leaves its box, and so between two rows.
    part = min(1.0, 24 / max(abs(y2 - y1), 24))
    x, y = x1 + (x2 - x1) * part, y1 + (y2 - y1) * part + 4
    return f'<text class="label" x="{x:g}" y="{y:g}" text-anchor="middle">{escape(text)}</text>'


def main() -> None:
    """Draw every picture anew."""
    for source, picture in PICTURES.items():
        picture.write_text(draw(source.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
