"""What counting costs a cached read, and what a scrape costs a service that holds much.

The path has two integers to add; everything else is done when somebody scrapes, by a thread. So a
read is measured beside the same read without the two additions, and together with the scrapes
that 1000 reads a second have to bear, one in 15 s.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread

import greenlang_secrets as gs
from benchmarks.measuring import Outcome, Run, Size, interleaved, over, per_call
from benchmarks.servers import library_config, vault
from greenlang_secrets.cache import SecretCache
from greenlang_secrets.cache_entries import CacheKey, Entry
from greenlang_secrets_api.metrics import Metrics

__all__ = ["run"]

UNCOUNTED: Final = "secrets.get, not counted"
COUNTED: Final = "secrets.get, counted"
SCRAPED: Final = "secrets.get, counted and scraped"
MANY: Final = 10_000
FEW: Final = "scrape, 10 secrets"
LOTS: Final = f"scrape, {MANY:,} secrets"
PATH: Final = "database/postgresql"
READS_PER_SCRAPE: Final = 15_000  # at 1000 a second

Candidates = dict[str, Run]


async def run(size: Size) -> Outcome:
    """Measure CPU of a read and of a scrape."""
    async with vault() as server, gs.SecretsService.open(library_config(server)) as secrets:
        await secrets.put(PATH, {"username": "app", "password": "x" * 40})
        async with counted(secrets) as runs:
            reads = size.of(30_000)
            read = await interleaved(
                {name: per_call(each, reads) for name, each in runs.items()},
                size.rounds,
                unit="us CPU",
            )
        async with scraped(secrets) as runs:
            times = size.of(15)
            scrape = await interleaved(
                {name: per_call(each, times) for name, each in runs.items()},
                size.rounds_of(0.6),
                unit="us CPU",
            )
    return Outcome(
        findings=(
            over(read, COUNTED, UNCOUNTED),
            over(read, SCRAPED, UNCOUNTED),
            over(scrape, LOTS, FEW),
        ),
        samples=read | scrape,
    )


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
        yield {UNCOUNTED: uncounted, COUNTED: read, SCRAPED: scraping}
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

    def scrapes(entries: OrderedDict[CacheKey, Entry[gs.Secret]]) -> Run:
        async def scrape(times: int) -> None:
            cache._entries = entries
            try:
                for _ in range(times):
                    await metrics.render("")
            finally:
                cache._entries = held

        return scrape

    try:
        yield {FEW: scrapes(few), LOTS: scrapes(many)}
    finally:
        await metrics.close()
