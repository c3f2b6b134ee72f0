"""Two services over HTTP on one Vault and one PostgreSQL, as two replicas are deployed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from api.conftest import service_config_for
from api.issuer import Issuer
from api.live import Api, running
from greenlang_secrets.config import CacheConfig
from greenlang_secrets.invalidation import InvalidationConfig
from support.catalogues import in_postgres

Pair = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Api, Api]]]


@pytest.fixture
def pair(vault_server: Any, mount: str, api_config, postgres_server) -> Pair:
    """Open two services that hold what they have read for an hour."""
    held = CacheConfig(fresh_for=3600, stale_for=7200, missing_for=0, denied_for=0)
    service_config = replace(service_config_for(vault_server, mount), cache=held)

    @contextlib.asynccontextmanager
    async def pair(
        hears: InvalidationConfig, *, shared: bool = True
    ) -> AsyncIterator[tuple[Api, Api]]:
        async with in_postgres(postgres_server) as place:
            await place.migrate()
            settings = replace(
                api_config, invalidation=hears, catalogue=place.config if shared else None
            )
            with contextlib.ExitStack() as stack:
                pair = []
                for _ in range(2):
                    opened = running(service_config, settings)
                    pair.append(await asyncio.to_thread(stack.enter_context, opened))
                yield pair[0], pair[1]
                await asyncio.to_thread(stack.close)

    return pair


async def seen(api: Api, path: str, token: str, value: str, within: float = 10.0) -> bool:
    """Whether a service that is asked all the time comes to give a value."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while (await value_of(api, path, token)) != value:
                await asyncio.sleep(0.02)
            return True
    return False


async def value_of(api: Api, path: str, token: str) -> str | None:
    reply = await api.ask("GET", path, token)
    return reply.json["data"]["k"] if reply.status == 200 else None


async def create(api: Api, path: str, token: str, value: str) -> None:
    reply = await api.ask("POST", path, token, json={"data": {"k": value}})
    assert reply.status == 201


async def put(api: Api, path: str, token: str, value: str) -> None:
    reply = await api.ask("PUT", path, token, json={"data": {"k": value}})
    assert reply.status == 200


async def test_write_on_one_is_visible_through_the_other(pair: Pair, issuer: Issuer, path: str):
    """Of two services on one PostgreSQL each sees the other's writes at once."""
    token = issuer.tenant("acme")
    async with pair(InvalidationConfig()) as (one, other):
        await create(one, path, token, "-")
        for number, (writer, reader) in enumerate([(one, other), (other, one), (one, other)]):
            await put(writer, path, token, str(number))

            assert await seen(reader, path, token, str(number))
            assert await seen(writer, path, token, str(number))


async def test_delete_on_one_is_visible_through_the_other(pair: Pair, issuer: Issuer, path: str):
    """What was deleted on one is 404 on the other, though that held it."""
    token = issuer.tenant("acme")
    async with pair(InvalidationConfig()) as (one, other):
        await create(one, path, token, "1")
        assert await seen(other, path, token, "1")

        deleted = await one.ask("DELETE", path, token)

        assert deleted.status == 204
        async with asyncio.timeout(10):
            while (await other.ask("GET", path, token)).status != 404:
                await asyncio.sleep(0.02)


async def test_without_a_shared_database_the_old_value_stays(pair: Pair, issuer: Issuer, path: str):
    """The control: two services that share nothing but Vault hold what they have read."""
    token = issuer.tenant("acme")
    async with pair(InvalidationConfig(), shared=False) as (one, other):
        await create(one, path, token, "1")
        assert await seen(other, path, token, "1")

        await put(one, path, token, "2")

        assert not await seen(other, path, token, "2", within=1.0)


async def test_write_behind_the_back_is_visible_through_both(
    pair: Pair, issuer: Issuer, path: str, vault_server: Any, mount: str
):
    """What the root token writes is given by both, where Vault's audit file can be read."""
    token = issuer.tenant("acme")
    hears = InvalidationConfig(vault_audit_logs=(vault_server.audit_file,))
    async with pair(hears, shared=False) as (one, other):
        await create(one, path, token, "1")
        assert await seen(other, path, token, "1")

        await vault_server.request(
            "POST", f"{mount}/data/tenants/acme/{path}", {"data": {"k": "2"}}
        )

        assert await seen(one, path, token, "2")
        assert await seen(other, path, token, "2")
