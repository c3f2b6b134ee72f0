"""What we hold ourselves to: the targets, each with its limit.

The table in the README is made of them and of what was measured last; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["TARGETS", "TIMES", "Target"]

TIMES: Final = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A limit.

    Attributes:
        what: the sentence that a reader gets.
        sign: on which side of the limit it is reached.
        unit: ``x`` for a ratio.
    """

    what: str
    sign: Literal["≤", "≥"]
    limit: float
    unit: str = "x"

    def reached(self, value: float) -> bool:
        """Whether a value is on the right side."""
        return value <= self.limit if self.sign == "≤" else value >= self.limit

    def __str__(self) -> str:
        limit = f"{self.limit:g}"
        return f"{self.sign} {limit}{TIMES if self.unit == 'x' else ' ' + self.unit}"


TARGETS: Final[Mapping[str, Target]] = {
    "cached-dict": Target(
        what="a fresh hit beside a dictionary in an async function that looks at a clock",
        sign="≤",
        limit=2.0,
    ),
    "cached-aiocache": Target(
        what="a fresh hit, times faster than aiocache's `SimpleMemoryCache.get`",
        sign="≥",
        limit=20,
    ),
    "cold-aiohttp": Target(
        what="an uncached read beside aiohttp's GET of the same URL, client CPU",
        sign="≤",
        limit=1.35,
    ),
    "cold-hvac": Target(
        what="uncached reads a second beside hvac in 16 threads", sign="≥", limit=5
    ),
    "rest-starlette": Target(
        what="cached REST reads a second beside bare Starlette that answers the same bytes",
        sign="≥",
        limit=0.6,
    ),
    "rest-fastapi": Target(
        what="cached REST reads a second beside FastAPI with hvac, uncached",
        sign="≥",
        limit=15,
    ),
    "load-failures": Target(
        what="failures at 1000 reads a second, while a credential rotates",
        sign="≤",
        limit=0,
        unit="failures",
    ),
    "load-p99": Target(
        what="p99 at 1000 reads a second, while a credential rotates",
        sign="≤",
        limit=25,
        unit="ms",
    ),
    "stampede-reads": Target(
        what="reads at Vault for 1,000 concurrent cold gets of one key",
        sign="≤",
        limit=1,
        unit="reads",
    ),
    "stampede-time": Target(what="all 1,000 done, beside one cold read", sign="≤", limit=2),
    "memory": Target(
        what="memory of a cached secret of 300 octets", sign="≤", limit=1.5, unit="KiB"
    ),
    "growth": Target(
        what="a fresh hit among 100,000 entries beside one among 10", sign="≤", limit=1.5
    ),
    "import": Target(
        what="the import of `greenlang_secrets`, over bare Python", sign="≤", limit=150, unit="ms"
    ),
}
