"""What counting costs a cached read, and what a scrape costs a service that holds much.

The path has two integers to add; everything else is done when somebody scrapes, by a thread. So a
read is measured beside the same read without the two additions, and together with the scrapes
that 1000 reads a second have to bear, one in 15 s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread

import greenlang_secrets as gs
from greenlang_secrets.cache import SecretCache
from greenlang_secrets.cache_entries import CacheKey, Entry
from greenlang_secrets_api.metrics import Metrics

__all__ = ["FEW", "UNCOUNTED", "counted", "scraped"]

UNCOUNTED: Final = "secrets.get, not counted"
FEW: Final = "scrape, 10 secrets"
MANY: Final = 10_000
PATH: Final = "database/postgresql"
READS_PER_SCRAPE: Final = 15_000  # at 1000 a second

Candidate = Callable[[int], Awaitable[None]]
Candidates = dict[str, Candidate]


class _Uncounted(SecretCache[gs.Secret]):
    """The cache without its counters, for comparison."""

    def fresh(self, key: CacheKey) -> gs.Secret | None:
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry.refresh_at:
            return None
        self._entries.move_to_end(key)
        return entry.value


@asynccontextmanager
async def counted(secrets: gs.SecretsService) -> AsyncIterator[Candidates]:
    """Yield the candidates: not counted, counted, and counted with its share of scrapes."""
    metrics = await anyio.to_thread.run_sync(Metrics)
    cache = secrets._cache
    plain = type(cache)

    async def read(reads: int) -> None:
        for _ in range(reads):
            await secrets.get(PATH)

    async def uncounted(reads: int) -> None:
        cache.__class__ = _Uncounted
        try:
            await read(reads)
        finally:
            cache.__class__ = plain

    async def scraping(reads: int) -> None:
        await read(reads)
        for _ in range(round(reads / READS_PER_SCRAPE)):
            await metrics.render("")

    try:
        await secrets.get(PATH)
        yield {UNCOUNTED: uncounted, "secrets.get, counted": read, "secrets.get, scraped": scraping}
    finally:
        await metrics.close()


@asynccontextmanager
async def scraped(secrets: gs.SecretsService) -> AsyncIterator[Candidates]:
    """Yield the candidates: a scrape of a service that holds ten secrets, and of one of 10,000."""
    metrics = await anyio.to_thread.run_sync(Metrics)
    await secrets.get(PATH)
    cache = secrets._cache
    entry = next(iter(cache._entries.values()))
    held = cache._entries
    few, many = (
        OrderedDict({(("bench",), f"p/{number}", None): entry for number in range(count)})
        for count in (10, MANY)
    )

    def scrapes(entries: OrderedDict[CacheKey, Entry[gs.Secret]]) -> Candidate:
        async def scrape(times: int) -> None:
            cache._entries = entries
            try:
                for _ in range(times):
                    await metrics.render("")
            finally:
                cache._entries = held

        return scrape

    try:
        yield {FEW: scrapes(few), f"scrape, {MANY:,} secrets": scrapes(many)}
    finally:
        await metrics.close()
