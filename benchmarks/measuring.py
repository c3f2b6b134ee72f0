"""Candidates in turn, run by run, and what their samples say: medians, quartiles, ratios.

A shared machine is slow for a moment, now and then. Each round runs every candidate once, in a new
order, so that a slow moment hits all of them in the long run; and a ratio is taken within its
round, so that both of its sides had the same moment.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "Candidate",
    "Finding",
    "Outcome",
    "Run",
    "Samples",
    "Size",
    "Spread",
    "Way",
    "figure",
    "interleaved",
    "not_runnable",
    "number",
    "over",
    "per_call",
]

Run = Callable[[int], Awaitable[None]]
"""Does a thing this many times."""

Way = Literal["cost", "gain"]
"""Whether a ratio is ours over the base, or the base over ours."""

Candidate = Callable[[], Awaitable[float]]
"""One run of a candidate; what it returns is the sample."""

US: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: how often each candidate has its turn.
        scale: a factor for how much it does then.
    """

    rounds: int = 5
    scale: float = 1.0

    def of(self, times: int, *, least: int = 1) -> int:
        """Return `times`, scaled."""
        return max(least, round(times * self.scale))

    def rounds_of(self, share: float) -> int:
        """Return a share of the rounds, for what takes long, and at least one."""
        return max(1, round(self.rounds * share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What a candidate gave, a value for each round.

    Attributes:
        unit: ``us CPU``, ``reads/s``, ``KiB`` and so on.
    """

    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A median, the quartiles around it, and the extremes."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return that of at least one value."""
        if len(values) == 1:
            [value] = values
            return cls(median=value, low=value, high=value, least=value, most=value)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median=median, low=low, high=high, least=min(values), most=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A line of the table.

    Attributes:
        what: ours, in a few words.
        beside: what the ratio is to; empty for a figure by itself.
        unit: of the values; ``x`` for ratios.
        values: one for each round; none if it could not be run.
        detail: the medians that a ratio was made of, or what has to be known to read it.
        target: the key of the target that this is held to, if it is.
        not_run: why it could not be run.
    """

    what: str
    beside: str = ""
    unit: str = "x"
    values: tuple[float, ...] = ()
    detail: str = ""
    target: str = ""
    not_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a suite found, and everything that it was found from.

    Attributes:
        samples: by candidate.
        notes: what the reader must know about how it was measured.
    """

    findings: tuple[Finding, ...]
    samples: Mapping[str, Samples]
    notes: tuple[str, ...] = ()


def per_call(run: Run, times: int, *, clock: Callable[[], float] = time.process_time) -> Candidate:
    """Return a candidate whose sample is microseconds a call, by default of this process' CPU."""

    async def candidate() -> float:
        begun = clock()
        await run(times)
        return (clock() - begun) / times * US

    return candidate


async def interleaved(
    candidates: Mapping[str, Candidate],
    rounds: int,
    *,
    unit: str,
    warm: bool = True,
    tidy: Callable[[], object] = gc.collect,
) -> dict[str, Samples]:
    """Return the samples of each candidate, `rounds` of them, taken in turn.

    Before the first round each has a turn that does not count, unless `warm` is false; before each
    turn the heap is tidied, so that nobody pays for what another has left behind.
    """
    values: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    if warm:
        for name in order:
            await candidates[name]()
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            tidy()
            values[name].append(await candidates[name]())
    return {name: Samples(unit=unit, values=tuple(found)) for name, found in values.items()}


def over(
    samples: Mapping[str, Samples],
    ours: str,
    base: str,
    *,
    way: Way = "cost",
    target: str = "",
    what: str = "",
) -> Finding:
    """Return ours over the base, round by round; as a gain the base over ours.

    For times a cost says how many times ours takes longer, and a gain how many times it is
    faster; for rates, `cost` says how many times ours does more.
    """
    above, below = (ours, base) if way == "cost" else (base, ours)
    ratios = tuple(
        one / other for one, other in zip(samples[above].values, samples[below].values, strict=True)
    )
    mine, its = samples[ours], samples[base]
    return Finding(
        what=what or ours,
        beside=base,
        values=ratios,
        detail=f"{number(mine.median)} beside {number(its.median)} {mine.unit}",
        target=target,
    )


def figure(
    samples: Mapping[str, Samples], name: str, *, detail: str = "", target: str = "", what: str = ""
) -> Finding:
    """Return the samples themselves, as a figure that is beside nothing."""
    found = samples[name]
    return Finding(
        what=what or name, unit=found.unit, values=found.values, detail=detail, target=target
    )


def not_runnable(what: str, why: str, *, beside: str = "", target: str = "") -> Finding:
    """Return the line of what cannot be run here, which says why."""
    return Finding(what=what, beside=beside, target=target, not_run=why)


def number(value: float) -> str:
    """Return a number with three digits that count, as a reader likes it."""
    if value == 0:
        return "0"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    if abs(value) < 0.1:
        digits = 4
    return f"{value:,.{digits}f}"
