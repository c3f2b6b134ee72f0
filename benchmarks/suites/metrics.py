"""What a scrape costs a service that holds little and much, and what the scrapes of a service cost
its cached reads.

A read has a number to add; everything else is done when somebody scrapes, by a thread. So a read is
measured together with the scrapes that 1000 reads a second have to bear, one in 15 s.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio.to_thread

import greenlang_secrets as gs
from benchmarks.filling import hold, paths_of
from benchmarks.measuring import Candidate, Outcome, Run, Size, interleaved, over, per_call
from benchmarks.servers import library_config, vault
from greenlang_secrets_api.metrics import Metrics

__all__ = ["run"]

READ: Final = "secrets.get"
SCRAPED: Final = "secrets.get, and scrapes"
MANY: Final = 10_000
FEW: Final = "scrape, 10 secrets"
LOTS: Final = f"scrape, {MANY:,} secrets"
PATH: Final = "database/postgresql"
READS_PER_SCRAPE: Final = 15_000  # at 1000 a second


async def run(size: Size) -> Outcome:
    """Measure CPU of a read and of a scrape."""
    async with vault() as server, gs.SecretsService.open(library_config(server)) as secrets:
        await secrets.put(PATH, {"username": "app", "password": "x" * 40})
        await secrets.get(PATH)
        async with exported() as metrics:
            reads = size.of(2) * READS_PER_SCRAPE
            read = await interleaved(
                {
                    READ: per_call(_reads(secrets), reads),
                    SCRAPED: per_call(_scraping(secrets, metrics), reads),
                },
                size.rounds,
                unit="us CPU",
            )
            times = size.of(8)
            scrape = await interleaved(
                {
                    FEW: _scrapes(secrets, metrics, 10, times),
                    LOTS: _scrapes(secrets, metrics, size.of(MANY, least=20), times),
                },
                size.rounds_of(0.6),
                unit="us CPU",
            )
    return Outcome(
        findings=(over(read, SCRAPED, READ), over(scrape, LOTS, FEW)), samples=read | scrape
    )


@asynccontextmanager
async def exported() -> AsyncIterator[Metrics]:
    """Yield metrics of what this process does."""
    metrics = await anyio.to_thread.run_sync(Metrics)
    try:
        yield metrics
    finally:
        await metrics.close()


def _reads(secrets: gs.SecretsService) -> Run:
    async def reads(times: int) -> None:
        for _ in range(times):
            await secrets.get(PATH)

    return reads


def _scraping(secrets: gs.SecretsService, metrics: Metrics) -> Run:
    async def reads(times: int) -> None:
        for _ in range(times):
            await secrets.get(PATH)
        for _ in range(round(times / READS_PER_SCRAPE)):
            await metrics.render("")

    return reads


def _scrapes(secrets: gs.SecretsService, metrics: Metrics, count: int, times: int) -> Candidate:
    """Scrapes of a service that holds so many; what fills it does not count."""

    async def candidate() -> float:
        secrets.cache.clear()
        await hold(secrets, paths_of(count))
        begun = time.process_time()
        for _ in range(times):
            await metrics.render("")
        return (time.process_time() - begun) / times * 1e6

    return candidate
