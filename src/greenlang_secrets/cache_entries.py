"""What the cache is made of: its keys, entries, loads under way and the wait for them, and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from greenlang_secrets.errors import SecretsError

__all__ = ["CacheKey", "CacheStats", "Entry", "Flight", "landing"]

V = TypeVar("V")

CacheKey = tuple[Hashable, Hashable, Hashable]
"""(scope, path, version); what shares the first two is invalidated together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """Counts since the cache was made, and what it holds now.

    Attributes:
        hits: answered fresh, without waiting.
        misses: all others; `stale_serves` and `coalesced` are among them.
        coalesced: joined a load that another caller had begun.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    stale_serves: int
    coalesced: int
    evictions: int


class Entry(Generic[V]):
    """A value, or a remembered error, and when it stops being what."""

    __slots__ = (
        "asked_at",
        "count",
        "error",
        "fresh_until",
        "refresh_at",
        "size",
        "stale",
        "stale_until",
        "value",
    )

    def __init__(self, *, asked_at: float) -> None:
        self.asked_at = asked_at
        self.value: V | None = None
        self.stale: V | None = None
        self.error: SecretsError | None = None
        self.count: list[int] = [0]
        self.refresh_at = 0.0
        self.fresh_until = 0.0
        self.stale_until = 0.0
        self.size = 0

    def overtake(self) -> None:
        """Be fresh no more: something newer is there, or may be."""
        self.refresh_at = self.fresh_until = 0.0


class Flight(Generic[V]):
    """A load under way. `kept` turns False when the key is invalidated meanwhile: those who
    wait still get the result, which may be the state before, but it is not stored.
    """

    __slots__ = ("began", "kept", "task")

    def __init__(self) -> None:
        self.began = False
        self.kept = True
        self.task: asyncio.Task[V]


async def landing(flight: Flight[V]) -> V:
    """Wait for a load that others may wait for too, and raise an error of one's own: the task's
    would collect a traceback from each of its waiters.
    """
    try:
        return await asyncio.shield(flight.task)
    except SecretsError as error:
        raise error.again() from None
    except asyncio.CancelledError:
        caller = asyncio.current_task()
        if flight.task.cancelled() and caller is not None and not caller.cancelling():
            # Not the caller was cancelled but the load, with everything the service runs.
            raise RuntimeError("the service was closed during this read") from None
        raise
