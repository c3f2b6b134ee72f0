"""A message is faster than replication: a standby may answer with what was there before."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.invalidation import Invalidation, InvalidationConfig

WRITES = 20


@pytest.fixture
def pair(cluster, config_of, postgres_server):
    """Two replicas: one writes to the leader, the other reads from a standby."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(postgres_server.url, ssl=False)

    @contextlib.asynccontextmanager
    async def pair(
        hears: InvalidationConfig,
    ) -> AsyncIterator[tuple[gs.SecretsService, gs.SecretsService]]:
        leader, standby = await cluster.leader(), (await cluster.standbys())[0]
        config = config_of(cluster.root_token, standby.addr, leader.addr)
        held = replace(config, cache=gs.CacheConfig(fresh_for=3600, stale_for=3600))
        async with (
            gs.SecretsService.open(config_of(cluster.root_token, leader.addr)) as one,
            gs.SecretsService.open(held) as other,
            Invalidation.open(one.followers, config, hears=hears, connect=connect) as tells,
            Invalidation.open(other.followers, config, hears=hears, connect=connect) as hears_it,
        ):
            async with asyncio.timeout(10):
                while not (
                    tells.feed
                    and hears_it.feed
                    and tells.feed.listening
                    and hears_it.feed.listening
                ):
                    await asyncio.sleep(0.01)
            yield one, other

    return pair


async def seen_within(seconds: float, service: gs.SecretsService, path: str, value: str) -> bool:
    """Whether a service that is asked all the time comes to give a value."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                # A standby that lags may not know the secret yet.
                secret = await service.get_or_none(path)
                if secret is not None and secret["k"].reveal() == value:
                    return True
                await asyncio.sleep(0.002)
    return False


async def test_change_is_seen_through_a_standby_that_lags(pair):
    """Each of twenty writes is seen, though the first read after the message may be too early."""
    async with pair(InvalidationConfig()) as (one, other):
        await one.put("x", {"k": "-"})
        assert await seen_within(10, other, "x", "-")

        for number in range(WRITES):
            await one.put("x", {"k": str(number)})

            assert await seen_within(10, other, "x", str(number))


async def test_without_a_second_read_the_value_before_stays(pair):
    """The control: of twenty writes some are read too early, and then held for an hour."""
    unseen = 0
    async with pair(InvalidationConfig(settle_after=0)) as (one, other):
        for number in range(WRITES):
            path = f"p/{number}"
            await one.put(path, {"k": "old"})
            async with asyncio.timeout(10):
                while (secret := await other.get_or_none(path, fresh=True)) is None:
                    await asyncio.sleep(0.01)
            assert secret["k"].reveal() == "old"

            await one.put(path, {"k": "new"})
            unseen += not await seen_within(0.7, other, path, "new")

    assert unseen > 0
