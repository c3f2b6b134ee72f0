"""What Prometheus answers to the queries of a panel, over a span of time or at its end."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from observability.dashboards.reading import ReadPanel, put_in

__all__ = ["Answer", "AskError", "Series", "Span", "ask", "ask_range"]

_WITHIN: Final = aiohttp.ClientTimeout(total=60)
_LABEL: Final = re.compile(r"{{\s*(\w+)\s*}}")


class AskError(RuntimeError):
    """Prometheus refuses a query, or does not answer; the text has what it said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """The time that is drawn, in seconds since 1970, and what is asked in it.

    Attributes:
        rate_interval: what Grafana would put in for ``$__rate_interval``: four scrapes at least.
    """

    start: float
    end: float
    rate_interval: str

    @property
    def step(self) -> float:
        """Seconds between two points: some hundred are as many as a panel shows."""
        return max(1.0, (self.end - self.start) / 240)


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line of an answer."""

    letter: str
    name: str
    labels: Mapping[str, str]
    times: Sequence[float]
    values: Sequence[float]

    @property
    def last(self) -> float:
        """The newest value."""
        return self.values[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What is drawn in a panel."""

    panel: ReadPanel
    series: Sequence[Series]

    @property
    def silent(self) -> Sequence[str]:
        """The letters of the queries that have no value but NaN, or none at all."""
        telling = {each.letter for each in self.series if not all(map(math.isnan, each.values))}
        letters = [target.letter for target in self.panel.targets]
        return [letter for letter in letters if letter not in telling]


async def ask(base: str, panel: ReadPanel, span: Span) -> Answer:
    """Ask all queries of a panel.

    Raises:
        AskError: Prometheus refuses a query, or does not answer.
    """
    found: list[Series] = []
    for target in panel.targets:
        expression = put_in(target.expression, rate_interval=span.rate_interval)
        asked = _instant(base, expression, span) if target.instant else None
        for each in await (asked or _range(base, expression, span)):
            labels = {name: text for name, text in each["metric"].items() if name != "__name__"}
            points = each["values"] if "values" in each else [each["value"]]
            found.append(
                Series(
                    letter=target.letter,
                    name=_name(target.legend, labels),
                    labels=labels,
                    times=[float(time) for time, _ in points],
                    values=[float(value) for _, value in points],
                )
            )
    return Answer(panel=panel, series=found)


async def ask_range(base: str, expression: str, span: Span) -> Sequence[Sequence[float]]:
    """Return the moments at which each series of a query is there.

    Raises:
        AskError: as `ask`.
    """
    expression = put_in(expression, rate_interval=span.rate_interval)
    answer = await _range(base, expression, span)
    return [[float(time) for time, _ in each["values"]] for each in answer]


def _name(legend: str, labels: Mapping[str, str]) -> str:
    if not legend:
        return ", ".join(labels.values()) or "value"
    return _LABEL.sub(lambda match: labels.get(match[1], ""), legend)


async def _instant(base: str, expression: str, span: Span) -> Sequence[Mapping[str, Any]]:
    return await _query(base, "query", query=expression, time=str(span.end))


async def _range(base: str, expression: str, span: Span) -> Sequence[Mapping[str, Any]]:
    times = {"start": str(span.start), "end": str(span.end), "step": str(span.step)}
    return await _query(base, "query_range", query=expression, **times)


async def _query(base: str, kind: str, **parameters: str) -> Sequence[Mapping[str, Any]]:
    try:
        async with (
            aiohttp.ClientSession(timeout=_WITHIN) as session,
            session.get(f"{base}/api/v1/{kind}", params=parameters) as answer,
        ):
            said = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise AskError(f"{base} does not answer: {type(error).__name__}") from None
    if said["status"] != "success":
        raise AskError(f"{base} refuses {parameters['query']}: {said.get('error')}")
    result: Sequence[Mapping[str, Any]] = said["data"]["result"]
    return result
