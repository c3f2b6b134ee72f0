"""A token bucket as a pure function of its state and now, and a bounded table of buckets.

A bucket's state is one number: the moment at which it is full again. A bucket that is full
says nothing and is not kept, so the memory goes with who is active and not with who ever was.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from greenlang_secrets_api.rate_policies import RatePolicy

__all__ = ["Buckets", "Taken", "take"]

MAX_BUCKETS: Final = 50_000
"""Of each policy; some 10 MB. Beyond it the least recently used is forgotten, that is, full."""

_LEISURE: Final = 1e-4
"""Of a request: what a float may be off by, after months of uptime too, without costing one."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of an attempt to take from a bucket.

    Attributes:
        allowed: whether it was taken; if not, nothing was.
        remaining: whole requests left after it.
        wait: seconds until as much as was asked for is there again; 0 if it was taken.
    """

    allowed: bool
    remaining: int
    wait: float


def take(policy: RatePolicy, full_at: float, now: float, cost: int = 1) -> tuple[float, Taken]:
    """Return the bucket after taking `cost` from it at `now`, and what became of that.

    The bucket holds `policy.quota` and fills evenly within `policy.window`; `full_at` is when
    it is full (any moment up to now: it is). A cost above the quota counts as the quota:
    refusing it for ever would help nobody.
    """
    each = policy.window / policy.quota  # seconds in which one request comes back
    cost = min(cost, policy.quota)
    missing = max(0.0, full_at - now) / each
    left = policy.quota - missing
    if left + _LEISURE < cost:
        return full_at, Taken(False, max(0, int(left + _LEISURE)), (cost - left) * each)
    left = max(0.0, left - cost)
    return now + (policy.quota - left) * each, Taken(True, int(left + _LEISURE), 0.0)


class Buckets:
    """The buckets of one policy, by any key that has no twin.

    In one process and one loop: no lock, and no task.
    """

    def __init__(self, policy: RatePolicy, *, most: int = MAX_BUCKETS) -> None:
        self._policy = policy
        self._most = most
        self._full_at: OrderedDict[object, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: object, now: float, cost: int = 1) -> Taken:
        """Take `cost` from the bucket of `key` at `now` (monotonic seconds)."""
        full_at, taken = take(self._policy, self._full_at.get(key, now), now, cost)
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._forget(now)
        return taken

    def _forget(self, now: float) -> None:
        """Drop what is full, least recently used first: two for each one that may come."""
        for _ in range(2):
            key = next(iter(self._full_at))
            if self._full_at[key] > now and len(self._full_at) <= self._most:
                return
            del self._full_at[key]
