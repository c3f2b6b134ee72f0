"""Draws the dashboard: ``python -m observability.preview``, or ``make dashboard-preview``.

Without ``--prometheus`` it runs a development stack and a Prometheus of its own and works on them.
It ends with 1 when a query has no data that is not on the list of exceptions, and names them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from observability.dashboards.reading import ReadPanel, document, panels
from observability.preview.asking import Answer, Span, ask, ask_range
from observability.preview.cluster import played_cluster
from observability.preview.drawing import Mark, draw
from observability.preview.exceptions import EXCEPTIONS, WITHOUT_WATCH
from observability.preview.stack import SCRAPE_SECONDS, development_stack, scraping
from observability.workload import SECONDS, work

__all__ = ["missing", "preview"]

_OWN_RATE: Final = f"{10 * SCRAPE_SECONDS}s"
_SHIPPED_RATE: Final = "1m"  # four scrapes of the shipped 15 s


async def preview(base: str, path: Path, span: Span) -> Sequence[Answer]:
    """Draw what a Prometheus answers into a PNG, and return it.

    Raises:
        AskError: Prometheus refuses a query, or does not answer.
    """
    dashboard = document()
    read = panels(dashboard)
    answers = {panel.id: await ask(base, panel, span) for panel in read if panel.kind != "row"}
    marks = [await _mark(base, each, span) for each in dashboard["annotations"]["list"]]
    await anyio.to_thread.run_sync(draw, path, read, answers, marks, span)
    return list(answers.values())


async def _mark(base: str, annotation: Mapping[str, Any], span: Span) -> Mark:
    """Return the moments from which on an annotation's series are there."""
    begun: list[float] = []
    for moments in await ask_range(base, annotation["expr"], span):
        begun.append(moments[0])
        begun += [
            later for earlier, later in pairwise(moments) if later - earlier > span.step * 1.5
        ]
    return annotation["name"], annotation["iconColor"], sorted(set(begun))


def missing(
    answers: Sequence[Answer], excused: Collection[tuple[int, str]] = EXCEPTIONS
) -> Sequence[tuple[ReadPanel, str]]:
    """Return the queries, by panel and letter, that have no data and no excuse."""
    return [
        (answer.panel, letter)
        for answer in answers
        for letter in answer.silent
        if (answer.panel.id, letter) not in excused
    ]


async def _with_a_stack(path: Path, seconds: float) -> Sequence[Answer]:
    async with (
        played_cluster() as cluster,
        development_stack({**os.environ, **cluster}) as stack,
        scraping(stack) as prometheus,
    ):
        began = time.time()
        _say(f"Working for {seconds:g} s ...")
        counted = await work(stack, seconds=seconds)
        _say(", ".join(f"{answer}: {times}" for answer, times in sorted(counted.items())))
        span = Span(start=began, end=time.time(), rate_interval=_OWN_RATE)
        return await preview(prometheus.url, path, span)


async def _with(base: str, path: Path, minutes: float, rate_interval: str) -> Sequence[Answer]:
    now = time.time()
    span = Span(start=now - minutes * 60, end=now, rate_interval=rate_interval)
    return await preview(base.rstrip("/"), path, span)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Draw, tell what has no data, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m observability.preview", description=__doc__)
    parser.add_argument("--prometheus", metavar="URL", help="ask this one, and start nothing")
    parser.add_argument("--minutes", type=float, default=180, help="how far back (%(default)s)")
    parser.add_argument(
        "--rate-interval", default=_SHIPPED_RATE, help="four scrapes of it (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long to work (%(default)s)"
    )
    parser.add_argument("--output", type=Path, default=Path("dashboard-preview.png"))
    chosen = parser.parse_args()
    if chosen.prometheus:
        draws = partial(
            _with, chosen.prometheus, chosen.output, chosen.minutes, chosen.rate_interval
        )
    else:
        draws = partial(_with_a_stack, chosen.output, chosen.seconds)
    answers = anyio.run(draws)
    excused = {**EXCEPTIONS, **WITHOUT_WATCH} if chosen.prometheus else EXCEPTIONS
    without = missing(answers, excused)
    _say(f"{len(answers)} panels drawn into {chosen.output}")
    for panel, letter in without:
        _say(f"no data: {panel.row} / {panel.title} ({panel.id} {letter})")
    return int(bool(without))


if __name__ == "__main__":
    sys.exit(main())
