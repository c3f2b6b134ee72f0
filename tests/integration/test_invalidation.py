"""Two services on one Vault, as two replicas are, and what one hears of the other's writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.invalidation import Invalidation, InvalidationConfig


@pytest.fixture
def hears() -> InvalidationConfig:
    return InvalidationConfig()


@pytest.fixture
def connect(postgres_server) -> Callable[[], Awaitable[asyncpg.Connection]]:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(postgres_server.url, ssl=False)

    return connect


@contextlib.asynccontextmanager
async def replica(config, hears, connect=None) -> AsyncIterator[gs.SecretsService]:
    cache = replace(config.cache, fresh_for=3600, stale_for=7200)
    async with (
        gs.SecretsService.open(replace(config, cache=cache)) as service,
        Invalidation.open(service.followers, config, hears=hears, connect=connect) as heard,
    ):
        await until(lambda: heard.feed is None or heard.feed.listening)
        await until(lambda: all(tail.following for tail in heard.tails))
        yield service


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def comes(read: Callable[[], Awaitable[object]], expected: object) -> None:
    async with asyncio.timeout(10):
        while await read() != expected:
            await asyncio.sleep(0.005)


async def value(service: gs.SecretsView, path: str = "x") -> str | None:
    secret = await service.get_or_none(path)
    return None if secret is None else secret["k"].reveal()


async def test_write_on_one_replica_is_seen_by_the_other(config, hears, connect):
    """A write on one replica is read on the other, though that holds the old value for an hour."""
    async with replica(config, hears, connect) as one, replica(config, hears, connect) as other:
        await one.put("x", {"k": "1"})
        await comes(lambda: value(other), "1")

        await one.put("x", {"k": "2"})

        await comes(lambda: value(other), "2")


async def test_write_behind_the_back_is_seen(vault_server, config, mount):
    """What the root token writes by HTTP is read, though an older value is held for an hour."""
    hears = InvalidationConfig(vault_audit_logs=(vault_server.audit_file,))
    async with replica(config, hears) as service:
        await service.put("x", {"k": "1"})
        assert await value(service) == "1"

        await vault_server.request("POST", f"{mount}/data/greenlang/x", {"data": {"k": "2"}})

        await comes(lambda: value(service), "2")
