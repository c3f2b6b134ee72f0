"""When to try again: a full-jitter backoff, and a budget that keeps retries from becoming
the load that kept the server down.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Backoff", "RetryBudget"]

_FIRST: Final = 0.05
_LONGEST: Final = 1.0


class Backoff:
    """Waits of ``uniform(0, min(longest, first * 2^n))`` ("full jitter", AWS Architecture Blog,
    "Exponential Backoff And Jitter"), in seconds; 50 ms and 1 s are for a request that somebody
    waits for.
    """

    __slots__ = ("_ceiling", "_longest", "_random")

    def __init__(
        self, random: Callable[[], float], *, first: float = _FIRST, longest: float = _LONGEST
    ) -> None:
        self._ceiling = first
        self._longest = longest
        self._random = random

    def next(self, asked: float | None = None) -> float:
        """Return the next wait in seconds; `asked` is what the server asked for, and wins."""
        ceiling, self._ceiling = self._ceiling, min(self._longest, self._ceiling * 2)
        if asked is not None:
            return asked
        return max(0.001, self._random() * ceiling)


class RetryBudget:
    """Lets one request in ten be a retry, with ten in reserve for a quiet client."""

    __slots__ = ("_tokens",)

    # In tenths of a retry: whole numbers, for ten times 0.1 is less than 1.
    _RETRY: Final = 10
    _MOST: Final = 100

    def __init__(self) -> None:
        self._tokens = self._MOST

    def deposit(self) -> None:
        """Count a request."""
        self._tokens = min(self._MOST, self._tokens + 1)

    def withdraw(self) -> bool:
        """Take one retry; False if the budget is spent."""
        if self._tokens < self._RETRY:
            return False
        self._tokens -= self._RETRY
        return True
