"""Load on a pool while its secret changes: who queries, and what failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["Load", "under_load", "until"]


@dataclass
class Load:
    """What the queries have brought: how many gave an answer, from whom, and what failed."""

    answered: int = 0
    users: set[str] = field(default_factory=set)
    failed: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def under_load(
    query: Callable[[], Awaitable[str]], *, workers: int = 6, pause: float = 0.0
) -> AsyncIterator[Load]:
    """Have `workers` call `query`, one query after another, until the end of the block; `pause`
    seconds between two of them leave the machine to others.
    """
    load, stop = Load(), asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            try:
                user = await query()
            except Exception as error:  # noqa: BLE001  whatever fails counts
                load.failed.append(error)
                await asyncio.sleep(0.01)
            else:
                load.answered += 1
                load.users.add(user)
                await asyncio.sleep(pause)

    tasks = [asyncio.create_task(work()) for _ in range(workers)]
    try:
        yield load
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until(condition: Callable[[], Awaitable[bool]], *, within: float = 10.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.01)
