"""A pool of psycopg before a real PostgreSQL, while the secret changes from user to user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from psycopg_pool import PoolTimeout

import greenlang_secrets as gs
from greenlang_secrets.errors import SecretIncomplete, SecretNotFound
from greenlang_secrets.integrations.psycopg import FollowingPool, create_pool
from greenlang_secrets.testing.process import free_port
from support.alternating import PATH
from support.pool_load import under_load, until
from support.slow_server import SlowServer

WHO = "SELECT session_user"


@asynccontextmanager
async def opened(secrets, source=PATH, **options: Any) -> AsyncIterator[FollowingPool]:
    kwargs = {"sslmode": "disable", **options.pop("kwargs", {})}
    async with await create_pool(secrets, source, kwargs=kwargs, **options) as pool:
        yield pool


async def who(pool: FollowingPool) -> str:
    async with pool.connection() as connection:
        row = await (await connection.execute(WHO)).fetchone()
        assert row is not None
        return str(row[0])


async def test_no_query_fails_while_users_alternate(secrets, app):
    """Ten changes of user and password under load fail no query, and after each one the other
    user's connections are gone.
    """
    async with (
        opened(secrets, min_size=2, max_size=4) as pool,
        under_load(lambda: who(pool)) as load,
    ):
        for _ in range(10):
            await app.turn()
            await app.old_are_gone()

    assert load.failed == []
    assert load.users == {app.now, app.before}


async def test_control_a_fixed_login_fails_once_its_user_is_cut_off(secrets, app):
    """The control: when the old user is let in no more, who connects with what it read at the start
    fails, and the pool that follows does not.
    """
    fixed = {
        "host": app.pair.server.host,
        "port": app.pair.server.port,
        "dbname": app.pair.database,
        "user": app.now,
        "password": app.data()["password"],
    }
    async with opened(secrets, min_size=1, max_size=2) as pool:
        await app.turn()
        await app.old_are_gone()
        await app.cut_off(app.before)

        assert await who(pool) == app.now
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            await psycopg.AsyncConnection.connect(**fixed)


async def test_idle_connections_are_replaced(secrets, app):
    """After a change the old user's connections are gone, though nobody queries."""
    async with opened(secrets, min_size=3, max_size=5):
        assert await app.sessions(app.now) == 3
        await app.turn()
        await app.old_are_gone()
        await app.open_are(3)


async def test_transaction_under_way_ends_with_its_login(secrets, app):
    """A connection in use stays the old user's until it is given back, and counts until then."""
    async with opened(secrets, min_size=1, max_size=2) as pool:
        async with pool.connection() as connection:
            await connection.execute(WHO)
            await app.turn()
            assert await who(pool) == app.now
            answer = await connection.execute(WHO)
            assert await answer.fetchone() == (app.before,)
            assert app.versions() == [1]
        await app.old_are_gone()

        async def moved() -> bool:
            return app.versions() == [2]

        await until(moved)
    assert app.versions() == []
    assert secrets.followers._followed == {}


async def test_refused_login_is_tried_with_what_vault_holds(secrets, app, client, mount):
    """A change by another program, not heard of yet, fails no new connection when the old user is
    let in no more.
    """
    async with opened(secrets, min_size=0, max_size=2) as pool:
        app.turns += 1
        path = gs.paths.KvPath.of(mount, gs.PLATFORM, gs.paths.SecretPath.parse(PATH))
        await client.kv(gs.PLATFORM).write(path, app.data())
        await app.cut_off(app.before)

        assert await who(pool) == app.now


async def test_login_that_vault_cannot_better_is_told_without_the_password(secrets, app, caplog):
    """Where Vault holds the same login, the pool's own error is the caller's, the reason is in the
    driver's log, and the password is nowhere.
    """
    async with opened(secrets, min_size=0, max_size=1, timeout=0.5) as pool:
        await app.cut_off(app.now)
        with caplog.at_level(logging.WARNING, "psycopg.pool"), pytest.raises(PoolTimeout):
            await who(pool)

    assert "not permitted to log in" in caplog.text
    errors = [each for record in caplog.records for each in record.args if _is_error(each)]
    assert errors
    assert [each.pgconn for each in errors] == [None] * len(errors)
    assert app.data()["password"] not in repr([vars(each) for each in errors])


def _is_error(argument: object) -> bool:
    return isinstance(argument, psycopg.OperationalError)


async def test_control_the_drivers_own_error_shows_the_password(app):
    """The control: what the driver raises carries the connection's parameters, in clear."""
    await app.cut_off(app.now)
    with pytest.raises(psycopg.OperationalError) as caught:
        await psycopg.AsyncConnection.connect(
            host=app.pair.server.host,
            port=app.pair.server.port,
            dbname=app.pair.database,
            user=app.now,
            password=app.data()["password"],
        )

    assert app.data()["password"] in repr(caught.value.pgconn)


async def test_unusable_version_replaces_nothing(secrets, app):
    """A version without a password leaves the connections that work."""
    async with opened(secrets, min_size=1, max_size=2, timeout=0.2) as pool:
        data = app.data()
        del data["password"]
        await secrets.put(PATH, data)

        async with pool.connection() as connection:
            answer = await connection.execute(WHO)
            assert await answer.fetchone() == (app.now,)
            with pytest.raises(PoolTimeout):
                await who(pool)
        assert app.versions() == [1]


async def test_lease_is_followed(config, engine_role, postgres_server):
    """A handle of dynamic credentials gives the pool each new account; it stays the caller's."""
    place = {"host": postgres_server.host, "port": postgres_server.port, "dbname": "postgres"}
    async with gs.SecretsService.open(config) as secrets:
        held = await secrets.database_credentials("app", mount=engine_role.mount)
        async with (
            opened(secrets, held, min_size=1, max_size=3, kwargs=place) as pool,
            under_load(lambda: who(pool)) as load,
        ):
            for _ in range(3):
                new = await held.refresh()

                async def moved(user: str = new.username) -> bool:
                    return user in load.users

                await until(moved)
        assert load.failed == []
        assert len(load.users) == 4
        assert held.current.username == new.username


async def test_unreachable_server_leaves_nothing(secrets, app):
    """A pool that is not filled in time raises its own error, and gives the secret up."""
    place = {"port": free_port()}
    with pytest.raises(PoolTimeout):
        await create_pool(secrets, PATH, kwargs=place, min_size=1, wait_for=0.2)

    assert secrets.followers._followed == {}
    assert app.versions() == []


async def test_cancelled_opening_leaves_nothing(secrets, app):
    """Cancelled while it connects, the call leaves neither a connection nor a follower, and that
    before the pool would give up waiting for its workers.
    """
    async with asyncio.timeout(4), SlowServer() as server:
        place = {"host": "127.0.0.1", "port": server.number}
        opening = asyncio.ensure_future(create_pool(secrets, PATH, kwargs=place, min_size=1))
        await server.called.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    assert secrets.followers._followed == {}
    assert app.versions() == []


@pytest.mark.parametrize("cut_off", [False, True])
async def test_change_during_a_login_makes_another(secrets, app, cut_off):
    """Who logs in while the secret changes is the new user in the end, refused or not."""
    async with asyncio.timeout(20), SlowServer(app.pair.server.port) as server:
        place = {"host": "127.0.0.1", "port": server.number}
        async with opened(secrets, min_size=0, max_size=2, kwargs=place) as pool:
            asking = asyncio.ensure_future(who(pool))
            await server.called.wait()
            await app.turn()
            if cut_off:
                await app.cut_off(app.before)
            server.go.set()

            assert await asking == app.now
            await app.old_are_gone()


async def test_login_is_the_newest_when_the_pool_is_there(secrets, app):
    """A change while the first connections are opened leaves none behind."""
    turned = False

    async def configure(_: psycopg.AsyncConnection[Any]) -> None:
        nonlocal turned
        if not turned:
            turned = True
            await app.turn()

    async with opened(secrets, min_size=3, max_size=3, num_workers=1, configure=configure):
        await app.old_are_gone()
        await app.open_are(3)


async def test_connections_are_of_the_callers_class(secrets, app):
    """A class of connections of the caller's own is what the pool gives."""

    class Own(psycopg.AsyncConnection[Any]):
        pass

    async with (
        opened(secrets, min_size=1, connection_class=Own) as pool,
        pool.connection() as connection,
    ):
        assert isinstance(connection, Own)


async def test_closed_pool_is_gone(secrets, app):
    """After `close` the pool has no connection and follows nothing, and a change is not its own."""
    pool = await create_pool(secrets, PATH, min_size=2, kwargs={"sslmode": "disable"})
    await pool.close()
    await app.open_are(0)
    await pool.replace_connections()

    assert secrets.followers._followed == {}


@pytest.mark.parametrize("name", ["user", "password", "conninfo", "service", "passfile"])
async def test_options_that_the_secret_decides_are_refused(secrets, name):
    """A login beside the secret's is a mistake, told before anything is asked."""
    with pytest.raises(TypeError, match=name):
        await create_pool(secrets, PATH, **{name: "x"})
    with pytest.raises(TypeError, match=name):
        await create_pool(secrets, PATH, kwargs={name: "x"})


async def test_wrong_option_leaves_nothing(secrets, app):
    """An option that the pool refuses is its error, and nothing is followed."""
    with pytest.raises(TypeError, match="no_such_option"):
        await create_pool(secrets, PATH, no_such_option=True)

    assert secrets.followers._followed == {}


async def test_secret_without_a_host_needs_one(secrets, app, caplog):
    """Without a host in the secret or the options nothing is guessed, and the log says so."""
    await secrets.patch(PATH, {"host": None, "database": None})

    with pytest.raises(PoolTimeout):
        await create_pool(secrets, PATH, min_size=1, wait_for=0.2)
    assert str(SecretIncomplete("host", path=PATH)) in caplog.text


async def test_missing_secret_is_told(secrets):
    """Without the secret there is no pool."""
    with pytest.raises(SecretNotFound):
        await create_pool(secrets, "database/none")
