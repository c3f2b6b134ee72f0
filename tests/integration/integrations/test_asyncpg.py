"""A pool of asyncpg before a real PostgreSQL, while the secret changes from user to user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

import greenlang_secrets as gs
from greenlang_secrets.integrations.asyncpg import create_pool
from support.pairs import FIRST, UserPair, user_pair
from support.pool_load import under_load, until

SECOND = "second-password-of-the-pair"


@pytest.fixture
async def pair(postgres_server) -> AsyncIterator[UserPair]:
    """Two users in a database of the test's own; both log in."""
    async with user_pair(postgres_server) as pair:
        await pair.sql(f"ALTER ROLE {pair.b} LOGIN PASSWORD '{SECOND}'")
        yield pair


@pytest.fixture
async def alternate(secrets: gs.SecretsService, pair: UserPair):
    """Put the pair's first user; return what puts the other of the two, and its name."""
    await secrets.create("database/app", pair.data(pair.a, FIRST), type=gs.SecretType.DATABASE)
    logins = [(pair.a, FIRST), (pair.b, SECOND)]

    async def alternate() -> str:
        logins.reverse()
        user, password = logins[0]
        await secrets.put("database/app", pair.data(user, password))
        return user

    return alternate


async def sessions(pair: UserPair, user: str) -> int:
    """How many connections PostgreSQL has of a user."""
    return await pair.sql(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{user}'")


async def test_no_query_fails_while_users_alternate(secrets, pair, alternate):
    """Ten changes of user and password under load fail no query, and after each one the other
    user's connections are gone.
    """
    pool = await create_pool(secrets, "database/app", min_size=2, max_size=4, ssl=False)
    async with pool, under_load(lambda: pool.fetchval("SELECT session_user")) as load:
        before = pair.a
        for _ in range(10):
            now = await alternate()
            await until(partial(gone, pair, before))
            before = now

    assert load.failed == []
    assert load.users == {pair.a, pair.b}
    assert load.answered > 100


async def gone(pair: UserPair, user: str) -> bool:
    return await sessions(pair, user) == 0
