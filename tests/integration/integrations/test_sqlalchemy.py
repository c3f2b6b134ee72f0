"""An engine of SQLAlchemy before a real PostgreSQL, while the secret changes from user to user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.pool import NullPool

import greenlang_secrets as gs
from greenlang_secrets.errors import SecretNotFound
from greenlang_secrets.integrations.sqlalchemy import FollowingEngine, create_async_engine
from greenlang_secrets.testing.process import free_port
from support.alternating import PATH
from support.pool_load import under_load, until

WHO = text("SELECT session_user")


@asynccontextmanager
async def opened(secrets, **options) -> AsyncIterator[FollowingEngine]:
    engine = await create_async_engine(
        secrets, PATH, connect_args={"ssl": False, **options.pop("connect_args", {})}, **options
    )
    try:
        yield engine
    finally:
        await engine.dispose()


async def who(engine: FollowingEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(WHO))


async def test_no_query_fails_while_users_alternate(secrets, app):
    """Ten changes of user and password under load fail no query, and after each one the other
    user's connections are gone.
    """
    async with (
        opened(secrets, pool_size=3, max_overflow=1) as engine,
        under_load(lambda: who(engine)) as load,
    ):
        for _ in range(10):
            await app.turn()
            await app.old_are_gone()

    assert load.failed == []
    assert load.users == {app.now, app.before}


async def test_idle_connections_are_replaced(secrets, app):
    """After a change the old user's connections are gone, though nobody queries."""
    async with opened(secrets, pool_size=3) as engine:
        connections = [await engine.connect() for _ in range(3)]
        await asyncio.gather(*(each.close() for each in connections))
        assert await app.sessions(app.now) == 3

        await app.turn()
        await app.old_are_gone()
        await app.open_are(3)


async def test_transaction_under_way_ends_with_its_login(secrets, app):
    """A connection in use stays the old user's until it is given back, and counts until then."""
    async with opened(secrets, pool_size=2) as engine:
        async with engine.begin() as connection:
            await connection.execute(WHO)
            await app.turn()
            assert await who(engine) == app.now
            assert await connection.scalar(WHO) == app.before
            assert app.versions() == [1]
        await app.old_are_gone()

        async def moved() -> bool:
            return app.versions() == [2]

        await until(moved)
    assert app.versions() == []
    assert secrets.followers._followed == {}


async def test_engine_without_a_pool_of_its_own_follows(secrets, app):
    """With NullPool each connection is new, and logs in as who the secret says."""
    async with opened(secrets, poolclass=NullPool) as engine:
        assert await who(engine) == app.now
        await app.turn()
        assert await who(engine) == app.now


async def test_sessions_of_the_orm_follow(secrets, app):
    """A session takes the connection it gets, so one begun after the change is the new user's."""
    async with opened(secrets, pool_size=2) as engine:
        session = async_sessionmaker(engine)
        async with session() as before, before.begin():
            assert await before.scalar(WHO) == app.now
            await app.turn()
            async with session() as after:
                assert await after.scalar(WHO) == app.now
            assert await before.scalar(WHO) == app.before
        await app.old_are_gone()


async def test_lease_is_followed(config, engine_role, postgres_server):
    """A handle of dynamic credentials gives the engine each new account; it stays the caller's."""
    place = {"host": postgres_server.host, "port": postgres_server.port, "database": "postgres"}
    async with gs.SecretsService.open(config) as secrets:
        held = await secrets.database_credentials("app", mount=engine_role.mount)
        engine = await create_async_engine(secrets, held, connect_args={"ssl": False, **place})
        async with under_load(lambda: who(engine)) as load:

            async def begun() -> bool:
                return load.answered > 0

            await until(begun)
            for _ in range(3):
                new = await held.refresh()

                async def moved(user: str = new.username) -> bool:
                    return user in load.users

                await until(moved)
        await engine.dispose()
        assert load.failed == []
        assert len(load.users) == 4
        assert held.current.username == new.username


async def test_unreachable_server_is_an_error_and_holds_nothing(secrets, app):
    """Without a server a query fails as the driver does; disposing gives the secret up."""
    async with opened(secrets, connect_args={"port": free_port()}) as engine:
        with pytest.raises(OSError, match="Connect"):
            await who(engine)

    assert secrets.followers._followed == {}


async def test_cancelled_query_leaves_the_engine_usable(secrets, app):
    """Cancelling a query closes its connection at most, and what comes next is answered."""
    async with opened(secrets, pool_size=1, max_overflow=0) as engine:

        async def wait() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_sleep(30)"))

        async def sleeping() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            return bool(await app.pair.sql(query))

        waiting = asyncio.ensure_future(wait())
        await until(sleeping)
        await app.turn()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        assert await who(engine) == app.now
        await app.old_are_gone()


async def test_login_that_vault_cannot_better_is_refused(secrets, app):
    """Where Vault holds the same login, the driver's error is the caller's."""
    async with opened(secrets) as engine:
        await app.cut_off(app.now)
        with pytest.raises(DBAPIError, match="not permitted to log in"):
            await who(engine)


@pytest.mark.parametrize("name", ["async_creator", "creator"])
async def test_options_that_the_secret_decides_are_refused(secrets, name):
    """A login beside the secret's is a mistake, told before anything is asked."""
    with pytest.raises(TypeError, match=name):
        await create_async_engine(secrets, PATH, **{name: lambda: None})


async def test_wrong_option_leaves_nothing(secrets, app):
    """An option that SQLAlchemy refuses is its error, and nothing is followed."""
    with pytest.raises(TypeError, match="no_such_option"):
        await create_async_engine(secrets, PATH, no_such_option=True)

    assert secrets.followers._followed == {}


async def test_missing_secret_is_told(secrets):
    """Without the secret there is no engine."""
    with pytest.raises(SecretNotFound):
        await create_async_engine(secrets, "database/none")
