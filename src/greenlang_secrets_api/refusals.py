"""How long an address whose bearers are refused again and again is told to stay away.

The first time for ten seconds, then twice as long for each further refusal, up to 15 minutes.
It is told, and not shut out: see `RateLimiter.refused`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

__all__ = ["Refusals"]

FIRST: Final = 10.0  # seconds
LONGEST: Final = 15 * 60.0  # seconds
MAX_ADDRESSES: Final = 50_000
"""Beyond it the one that failed the longest ago is forgotten: an attacker with more gains 401s."""


class _Away(NamedTuple):
    """Told to stay away until then, and for how long; after as long again it is forgotten."""

    until: float  # monotonic seconds
    seconds: float


class Refusals:
    """The addresses that were told to stay away."""

    def __init__(self, *, most: int = MAX_ADDRESSES) -> None:
        self._most = most
        self._away: OrderedDict[str, _Away] = OrderedDict()

    def __len__(self) -> int:
        return len(self._away)

    def is_away(self, address: str, now: float) -> bool:
        """Return whether the time that the address was told has not passed."""
        found = self._away.get(address)
        return found is not None and now < found.until

    def tell(self, address: str, now: float) -> float:
        """Return for how many seconds the address is told to stay away from now on."""
        before = self._away.pop(address, None)
        if before is None or before.until + before.seconds <= now:
            seconds = FIRST
        else:
            seconds = min(2 * before.seconds, LONGEST)
        self._away[address] = _Away(now + seconds, seconds)
        self._forget(now)
        return seconds

    def _forget(self, now: float) -> None:
        """Drop what has passed, two for each one that may come, and what is too much."""
        for _ in range(2):
            oldest = next(iter(self._away))
            away = self._away[oldest]
            if away.until + away.seconds > now and len(self._away) <= self._most:
                return
            del self._away[oldest]
