"""Caches that one would take instead of ours: aiocache, cachetools, and a bare dictionary."""

from __future__ import annotations

import time
from typing import Final

from benchmarks.measuring import Run

__all__ = ["KEY", "aiocache_get", "cachetools_get", "dictionary_get"]

KEY: Final = "database/postgresql"
_LIVES: Final = 3600.0  # seconds


async def dictionary_get(value: object) -> Run:
    """A dictionary in an async function that looks at a clock: the least that can be."""
    held = {KEY: (value, time.monotonic() + _LIVES)}

    async def lookup(path: str) -> object | None:
        found, until = held[path]
        return found if time.monotonic() < until else None

    async def run(times: int) -> None:
        for _ in range(times):
            await lookup(KEY)

    return run


async def aiocache_get(value: object) -> Run:
    """Aiocache in memory, with a time to live, as its documentation shows it."""
    from aiocache import SimpleMemoryCache  # noqa: PLC0415  # a peer may be missing

    cache = SimpleMemoryCache()
    await cache.set(KEY, value, ttl=_LIVES)

    async def run(times: int) -> None:
        for _ in range(times):
            await cache.get(KEY)

    return run


async def cachetools_get(value: object) -> Run:
    """Cachetools' `TTLCache` in an async function: no single flight, no stale values."""
    from cachetools import TTLCache  # noqa: PLC0415  # a peer may be missing

    held: TTLCache[str, object] = TTLCache(maxsize=100_000, ttl=_LIVES)
    held[KEY] = value

    async def lookup(path: str) -> object | None:
        return held.get(path)

    async def run(times: int) -> None:
        for _ in range(times):
            await lookup(KEY)

    return run
