"""Counting a request, beside a cached read over HTTP.

The read is that of the real service in a process of its own, with its limits off, and what
counts is that process' CPU time. The limiters run in this process, and each hit gives the loop
a turn as a request does, because the library's memory makes a task for each; an empty turn is
taken off.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets as random_values
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

import greenlang_secrets as gs
from benchmarks.http_load import Load, request
from benchmarks.machine import CLIENT
from benchmarks.measuring import Outcome, Samples, Size, interleaved, over, per_call
from benchmarks.servers import library_config, service, vault
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.testing import ValkeyServer
from greenlang_secrets_api.rate_limit import RateLimiter
from greenlang_secrets_api.rate_policies import RateClass, RatePolicies, RatePolicy

__all__ = ["run"]

Hit = Callable[[], Awaitable[object]]
OTHERS = 1000
CACHED = "cached read over HTTP"
TURN = "an empty turn"
READ = RateLimitItemPerSecond(400, 2)
POLICIES = RatePolicies(read=RatePolicy(name="read", quota=400, window=2))


async def in_turn(hit: Hit, times: int) -> None:
    """Make hits, each with a turn of the loop."""
    for _ in range(times):
        await hit()
        await asyncio.sleep(0)


def of_library(strategy: SlidingWindowCounterRateLimiter, names: Callable[[], str]) -> Hit:
    """The library alone: a hit, and what is left for the headers."""

    async def hit() -> None:
        name = names()
        await strategy.hit(READ, name)
        await strategy.get_window_stats(READ, name)

    return hit


def of_ours(limiter: RateLimiter, names: Callable[[], str]) -> Hit:
    """Ours, with the headers made."""

    async def hit() -> None:
        await limiter.hit("acme", names(), RateClass.READ)

    return hit


def busy(turns: int) -> Callable[[], str]:
    """A principal that asks `turns` times, then the next: all within their limits."""
    numbers = itertools.count()
    run = random_values.token_hex(4)
    return lambda: f"{run}-{next(numbers) // turns}"


async def run(size: Size) -> Outcome:
    """Start everything, and measure in turn."""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd())))
        server = await opened.enter_async_context(vault(CLIENT))
        valkey = await opened.enter_async_context(ValkeyServer())
        remote = RedisStorage(f"async+{valkey.url}", implementation="redispy")
        opened.push_async_callback(remote.bridge.storage.aclose)
        shared = await opened.enter_async_context(
            RateLimiter.open(SecretValue(valkey.url), POLICIES)
        )
        ours = await opened.enter_async_context(
            service(server, folder, settings={"GREENLANG_SECRETS_RATE_LIMIT_READ": "off"})
        )
        async with gs.SecretsService.open(library_config(server)) as secrets:
            await secrets.for_tenant("acme").put("a", {"key": "x" * 40})
        candidates = {
            name: per_call(partial(in_turn, hit), size.of(most, least=100))
            for name, (hit, most) in _hits(shared, remote).items()
        }
        message = request(
            ours.secret("a"), headers={"Authorization": f"Bearer {ours.bearers['acme']}"}
        )
        load = Load(url=ours.url, make=lambda _: message, pids=[ours.pid], connections=1)

        async def read() -> float:
            return (await load.run(size.of(400, least=50))).server_us

        spent = await interleaved({CACHED: read, **candidates}, size.rounds_of(0.6), unit="us CPU")
    turn = spent.pop(TURN)
    for name in candidates.keys() & spent.keys():
        net = zip(spent[name].values, turn.values, strict=True)
        spent[name] = Samples(
            unit="us CPU", values=tuple(max(0.0, hit - none) for hit, none in net)
        )
    return Outcome(
        findings=tuple(over(spent, name, CACHED) for name in spent if name != CACHED),
        samples=spent | {TURN: turn},
    )


def _hits(shared: RateLimiter, remote: RedisStorage) -> dict[str, tuple[Hit, int]]:
    """Each limiter, and how often it is hit in a turn."""
    library, crowded = (SlidingWindowCounterRateLimiter(MemoryStorage()) for _ in range(2))
    return {
        TURN: (lambda: asyncio.sleep(0), 10_000),
        "rate limit, memory": (of_ours(RateLimiter(POLICIES), busy(300)), 10_000),
        "limits, memory": (of_library(library, busy(300)), 1_000),
        f"rate limit, memory, {OTHERS} others": (of_ours(RateLimiter(POLICIES), busy(1)), 10_000),
        f"limits, memory, {OTHERS} others": (of_library(crowded, busy(1)), OTHERS),
        "rate limit, Valkey, busy": (of_ours(shared, busy(300)), 2_000),
        "rate limit, Valkey, quiet": (of_ours(shared, busy(10)), 2_000),
        "limits, Valkey": (of_library(SlidingWindowCounterRateLimiter(remote), busy(300)), 300),
    }
