"""How long reads take, and so when one is late enough to ask a second node."""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["Latency"]

FLOOR: Final = 0.05
"""Seconds that are never late: a Vault answers in 1 to 5 ms, and a pause of its garbage collector
or of ours is no reason to ask twice."""

CEILING: Final = 0.5
"""Seconds that are always late, however slow reads have become: a quarter of the silence after
which an attempt is given up."""

_WINDOW: Final = 256
_RECOUNT: Final = 16
_UNKNOWN: Final = 0.2


class Latency:
    """The 99th percentile of the last 256 reads."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_WINDOW)
        self._since = 0
        self._late_after = _UNKNOWN

    @property
    def late_after(self) -> float:
        """Seconds after which a read is late: the p99 between 50 and 500 ms; 200 ms before the
        first 16 reads.
        """
        return self._late_after

    def record(self, seconds: float) -> None:
        """Count a read that was answered."""
        self._seconds.append(seconds)
        self._since += 1
        # Sorting 256 numbers costs some 10 µs: not for every read.
        if self._since == _RECOUNT:
            self._since = 0
            ordered = sorted(self._seconds)
            p99 = ordered[(len(ordered) * 99 - 1) // 100]
            self._late_after = min(CEILING, max(FLOOR, p99))
