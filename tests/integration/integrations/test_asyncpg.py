"""A pool of asyncpg before a real PostgreSQL, while the secret changes from user to user."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.errors import SecretIncomplete, SecretNotFound
from greenlang_secrets.integrations.asyncpg import create_pool
from greenlang_secrets.testing.process import free_port
from support.alternating import PATH
from support.pool_load import under_load, until
from support.slow_server import SlowServer

WHO = "SELECT session_user"


async def test_no_query_fails_while_users_alternate(secrets, app):
    """Ten changes of user and password under load fail no query, and after each one the other
    user's connections are gone.
    """
    pool = await create_pool(secrets, PATH, min_size=2, max_size=4, ssl=False)
    async with pool, under_load(lambda: pool.fetchval(WHO)) as load:
        for _ in range(10):
            await app.turn()
            await app.old_are_gone()

    assert load.failed == []
    assert load.users == {app.now, app.before}


async def test_control_a_fixed_login_fails_once_its_user_is_cut_off(secrets, app):
    """The control: when the old user is let in no more, a pool built once with it fails, and the
    pool that follows does not.
    """
    fixed = await asyncpg.create_pool(
        host=app.pair.server.host,
        port=app.pair.server.port,
        database=app.pair.database,
        user=app.now,
        password=app.data()["password"],
        min_size=1,
        max_size=2,
        ssl=False,
    )
    pool = await create_pool(secrets, PATH, min_size=1, max_size=2, ssl=False)
    # `terminate`, as the fixed pool goes on trying to keep its least size.
    async with pool, under_load(lambda: pool.fetchval(WHO)) as following:
        async with under_load(lambda: fixed.fetchval(WHO)) as before:
            await app.turn()

            async def moved() -> bool:
                return app.now in following.users and len(app.versions()) == 1

            await until(moved)
            await until(lambda: _uses(app, [2]))
            await app.cut_off(app.before)

            async def failed() -> bool:
                return any(
                    isinstance(each, asyncpg.InvalidAuthorizationSpecificationError)
                    for each in before.failed
                )

            await until(failed)
        fixed.terminate()

    assert following.failed == []


async def _uses(app, versions: list[int]) -> bool:
    return app.versions() == versions


async def test_idle_connections_are_replaced(secrets, app):
    """After a change the old user's connections are gone, though nobody queries."""
    async with await create_pool(secrets, PATH, min_size=3, max_size=5, ssl=False):
        assert await app.sessions(app.now) == 3
        await app.turn()
        await app.old_are_gone()
        await app.open_are(3)


async def test_query_under_way_ends_with_its_login(secrets, app):
    """A connection in use stays the old user's until it is given back, and counts until then."""
    async with await create_pool(secrets, PATH, min_size=1, max_size=2, ssl=False) as pool:
        async with pool.acquire() as connection, connection.transaction():
            await app.turn()
            assert await pool.fetchval(WHO) == app.now
            assert await connection.fetchval(WHO) == app.before
            assert app.versions() == [1]
        await app.old_are_gone()
        await until(lambda: _uses(app, [2]))
    assert app.versions() == []


async def test_refused_login_is_tried_with_what_vault_holds(secrets, app, client, mount):
    """A change by another program, not heard of yet, fails no new connection when the old user is
    let in no more.
    """
    async with await create_pool(secrets, PATH, min_size=0, max_size=2, ssl=False) as pool:
        app.turns += 1
        path = gs.paths.KvPath.of(mount, gs.PLATFORM, gs.paths.SecretPath.parse(PATH))
        await client.kv(gs.PLATFORM).write(path, app.data())
        await app.cut_off(app.before)

        assert await pool.fetchval(WHO) == app.now


async def test_login_that_vault_cannot_better_is_refused(secrets, app):
    """Where Vault holds the same login, the driver's error is the caller's, and Vault is asked
    once a second at most.
    """
    async with await create_pool(secrets, PATH, min_size=0, max_size=1, ssl=False) as pool:
        await app.cut_off(app.now)
        for _ in range(3):
            with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
                await pool.fetchval(WHO)


async def test_unusable_version_replaces_nothing(secrets, app):
    """A version without a password leaves the connections that work, and is told to new ones."""
    async with await create_pool(secrets, PATH, min_size=1, max_size=2, ssl=False) as pool:
        data = app.data()
        del data["password"]
        await secrets.put(PATH, data)

        async with pool.acquire() as connection:
            assert await connection.fetchval(WHO) == app.now
            with pytest.raises(SecretIncomplete):
                await pool.fetchval(WHO)
        assert app.versions() == [1]


async def test_lease_is_followed(config, engine_role, postgres_server):
    """A handle of dynamic credentials gives the pool each new account; it stays the caller's."""
    async with gs.SecretsService.open(config) as secrets:
        held = await secrets.database_credentials("app", mount=engine_role.mount)
        place = {"host": postgres_server.host, "port": postgres_server.port, "ssl": False}
        pool = await create_pool(
            secrets, held, min_size=1, max_size=3, database="postgres", **place
        )
        async with pool, under_load(lambda: pool.fetchval(WHO)) as load:
            for _ in range(3):
                new = await held.refresh()

                async def moved(user: str = new.username) -> bool:
                    return user in load.users

                await until(moved)
        assert load.failed == []
        assert len(load.users) == 4
        assert held.current.username == new.username


async def test_unreachable_server_leaves_nothing(secrets, app):
    """A pool that cannot be opened raises as the driver does, and gives the secret up."""
    with pytest.raises(OSError, match="Connect"):
        await create_pool(secrets, PATH, port=free_port(), min_size=1, ssl=False)

    assert secrets.followers._followed == {}
    assert app.versions() == []


async def test_cancelled_opening_leaves_nothing(secrets, app):
    """Cancelled while it connects, the call leaves neither a connection nor a follower."""
    async with asyncio.timeout(10), SlowServer() as port:
        opening = asyncio.ensure_future(
            create_pool(secrets, PATH, host="127.0.0.1", port=port.number, min_size=1, ssl=False)
        )
        await port.called.wait()
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    assert secrets.followers._followed == {}
    assert app.versions() == []


async def test_login_is_the_newest_when_the_pool_is_there(secrets, app):
    """A change while the first connections are opened, one after another, leaves none behind."""
    turned = False

    async def init(_: asyncpg.Connection) -> None:
        nonlocal turned
        if not turned:
            turned = True
            await app.turn()

    async with await create_pool(secrets, PATH, min_size=3, max_size=3, ssl=False, init=init):
        await app.old_are_gone()
        await app.open_are(3)


@pytest.mark.parametrize("cut_off", [False, True])
async def test_change_during_a_login_makes_another(secrets, app, cut_off):
    """Who logs in while the secret changes is the new user in the end, refused or not."""
    place = {"host": "127.0.0.1", "ssl": False}
    async with (
        asyncio.timeout(20),
        SlowServer(app.pair.server.port) as server,
        await create_pool(secrets, PATH, min_size=0, port=server.number, **place) as pool,
    ):
        asking = asyncio.ensure_future(pool.fetchval(WHO))
        await server.called.wait()
        await app.turn()
        if cut_off:
            await app.cut_off(app.before)
        server.go.set()

        assert await asking == app.now
        await app.old_are_gone()


async def test_connections_outlive_a_deleted_secret(secrets, app):
    """While there is no secret, open connections go on, and count with their version."""
    async with await create_pool(secrets, PATH, min_size=1, max_size=1, ssl=False) as pool:
        await secrets.delete(PATH)

        assert [await pool.fetchval(WHO) for _ in range(3)] == [app.now] * 3
        assert app.versions() == [1]


async def test_closed_pool_is_gone(secrets, app):
    """After `close`, and after `terminate`, the pool has no connection and follows nothing."""
    pool = await create_pool(secrets, PATH, min_size=2, ssl=False)
    await pool.close()
    assert await app.sessions(app.now) == 0
    assert secrets.followers._followed == {}

    ended = await create_pool(secrets, PATH, min_size=2, ssl=False)
    ended.terminate()
    await app.open_are(0)
    assert app.versions() == []


@pytest.mark.parametrize("name", ["user", "password", "dsn", "connect"])
async def test_options_that_the_secret_decides_are_refused(secrets, name):
    """A login beside the secret's is a mistake, told before anything is asked."""
    with pytest.raises(TypeError, match=name):
        await create_pool(secrets, PATH, **{name: "x"})


async def test_secret_without_a_host_needs_one(secrets, app):
    """Without a host in the secret or the options nothing is guessed."""
    await secrets.patch(PATH, {"host": None, "database": None})

    with pytest.raises(SecretIncomplete):
        await create_pool(secrets, PATH, min_size=1, ssl=False)


async def test_missing_secret_is_told(secrets):
    """Without the secret there is no pool."""
    with pytest.raises(SecretNotFound):
        await create_pool(secrets, "database/none")
