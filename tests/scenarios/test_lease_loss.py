"""Database credentials that end all the time, under a pool that logs in all the time."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from typing import Self

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.testing import PostgresServer
from support.approle import approle
from support.database import DatabaseEngine, database_engine

SECONDS = float(os.environ.get("GREENLANG_SECRETS_TEST_LEASE_SECONDS", "40"))
"""How long the pool logs in; 120 is the full run."""


@pytest.fixture
async def engine(vault, postgres_server):
    async with database_engine(vault, postgres_server) as engine:
        yield engine


@pytest.fixture
async def config(vault, engine, tmp_path) -> gs.SecretsServiceConfig:
    policy = engine.policy + 'path "secret/*" { capabilities = ["read"] }'
    role = await approle(vault, tmp_path, mount="app", policy=policy, ttl="20s")
    return gs.SecretsServiceConfig(addresses=(vault.addr,), auth=role.auth, tenant_token_role=None)


class Pool:
    """Clients that log in with what is current, as the new connections of a pool do."""

    def __init__(self, engine: DatabaseEngine, credentials) -> None:
        self._engine = engine
        self._credentials = credentials
        self._over = False
        self.accounts: Counter[str] = Counter()
        self.failures: list[str] = []

    async def _client(self) -> None:
        while not self._over:
            try:
                self.accounts[await self._engine.log_in(self._credentials())] += 1
            except (asyncpg.PostgresError, OSError, gs.SecretsError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(0.02)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.ensure_future(self._client()) for _ in range(8)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)


async def wait(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        await asyncio.sleep(0.05)


async def change(held) -> str:
    """Wait until there are no credentials, or until there are again; return why there are none."""
    before = now = code_of(held)
    while bool(now) == bool(before):
        await asyncio.sleep(0.02)
        now = code_of(held)
    return now


def code_of(held) -> str:
    try:
        _ = held.current
    except gs.SecretsError as error:
        return error.code
    return ""


@pytest.mark.timeout(240)
async def test_pool_outlives_accounts_of_twelve_seconds(engine, config):
    """Accounts of `max_ttl` 12 s, under a service token whose own life is 20 s, and a pool that logs
    in all the time: no login fails, and no lease is left at the end.
    """
    await engine.role(ttl="6s", max_ttl="12s")
    async with gs.SecretsService.open(config) as secrets:
        held = await secrets.database_credentials("app", mount=engine.mount)
        async with Pool(engine, lambda: held.current) as pool:
            await wait(SECONDS)

    assert pool.failures == []
    assert sum(pool.accounts.values()) > 10 * SECONDS
    assert len(pool.accounts) >= SECONDS / 12
    assert await engine.leases() == []


@pytest.mark.timeout(120)
async def test_pool_without_a_keeper_would_fail(engine, config):
    """The control: an account that is taken once ends, and the pool with it."""
    await engine.role(ttl="2s", max_ttl="4s")
    async with gs.SecretsService.open(config) as secrets:
        made = await secrets.client.database(mount=engine.mount).credentials("app")
        credentials = gs.DatabaseCredentials(username=made.username, password=made.password)
        async with Pool(engine, lambda: credentials) as pool:
            while not pool.failures:
                await asyncio.sleep(0.05)

    assert len(pool.accounts) == 1


@pytest.mark.timeout(120)
async def test_pool_goes_on_through_an_outage_of_vault(engine, config, vault):
    """Vault frozen for a part of an account's life: the pool goes on with what it has, and gets the
    next one in time.
    """
    await engine.role(ttl="6s", max_ttl="12s")
    config = replace(config, request_timeout=1.0)
    async with gs.SecretsService.open(config) as secrets:
        held = await secrets.database_credentials("app", mount=engine.mount)
        async with Pool(engine, lambda: held.current) as pool:
            await wait(3.0)
            await vault.pause()
            await wait(2.0)
            await vault.resume()
            await wait(12.0)

    assert pool.failures == []
    assert len(pool.accounts) >= 2


@pytest.mark.timeout(120)
async def test_credentials_past_their_end_are_not_given_out(engine, config, vault):
    """An outage longer than the account's life: there is an error that says so, and no account that
    does not work; afterwards there are credentials again, without a restart.
    """
    await engine.role(ttl="2s", max_ttl="1h")
    config = replace(config, request_timeout=0.5)
    async with gs.SecretsService.open(config) as secrets:
        held = await secrets.database_credentials("app", mount=engine.mount)
        first = held.current
        await vault.pause()
        code = await change(held)
        await vault.resume()
        await change(held)
        second = held.current

        assert code in {"lease_expired", "vault_unavailable"}
        assert second.username != first.username
        assert await engine.log_in(second) == second.username


@pytest.mark.timeout(120)
async def test_database_that_is_down_leaves_what_is_held(vault, tmp_path):
    """PostgreSQL stopped: what is held stays, dynamic or static, an attempt to replace it is an error
    that says so, and when the database is back so are new accounts, without a restart.
    """
    async with PostgresServer() as postgres, database_engine(vault, postgres) as engine:
        await engine.role(ttl="1h", max_ttl="2h")
        admin = await asyncpg.connect(postgres.url)
        await admin.execute("CREATE ROLE account WITH LOGIN PASSWORD 'first'")
        await admin.close()
        await engine.write(
            "static-roles/fixed",
            {"db_name": "pg", "username": "account", "rotation_period": "1h"},
        )
        role = await approle(vault, tmp_path, mount="app", policy=engine.policy)
        config = gs.SecretsServiceConfig(
            addresses=(vault.addr,), auth=role.auth, tenant_token_role=None
        )
        async with gs.SecretsService.open(config) as secrets:
            held = await secrets.database_credentials("app", mount=engine.mount)
            fixed = await secrets.database_credentials("fixed", mount=engine.mount, static=True)
            first = held.current
            await postgres.kill()
            with pytest.raises(gs.VaultUnavailable):
                await held.refresh()
            during = held.current
            static_during = await fixed.refresh()
            await postgres.start()
            second = await held.refresh()

            assert during is first
            assert static_during is fixed.current
            assert second.username != first.username
            assert await engine.log_in(second) == second.username
