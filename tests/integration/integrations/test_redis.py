"""A client of redis.asyncio before a real Valkey, while the secret changes from user to user."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

import greenlang_secrets as gs
from greenlang_secrets.integrations.redis import create_client
from greenlang_secrets.testing.process import free_port
from support.acl_users import FIRST, AclUser, acl_user
from support.pool_load import under_load, until

SECOND = "second-password-of-the-pair"


@pytest.fixture
async def users(valkey_server) -> AsyncIterator[tuple[AclUser, AclUser]]:
    """Two users who may ask who they are."""
    async with acl_user(valkey_server) as one, acl_user(valkey_server) as other:
        await one.run("ACL SETUSER", one.name, "+acl|whoami")
        await one.run("ACL SETUSER", other.name, "+acl|whoami", f">{SECOND}")
        yield one, other


@pytest.fixture
async def alternate(secrets: gs.SecretsService, users):
    """Put the first user; return what puts the other of the two, and gives its name."""
    one, other = users
    await secrets.create("cache/app", one.data(one.name, FIRST), type=gs.SecretType.CACHE)
    logins = [(one.name, FIRST), (other.name, SECOND)]

    async def alternate() -> str:
        logins.reverse()
        user, password = logins[0]
        await secrets.put("cache/app", one.data(user, password))
        return user

    return alternate


async def sessions(users, user: str) -> int:
    """How many connections the server has of a user."""
    return [each["user"] for each in await users[0].run("CLIENT LIST")].count(user)


def whoami(client: Redis):
    async def ask() -> str:
        return str(await client.execute_command("ACL WHOAMI"))

    return ask


async def gone(users, user: str) -> bool:
    return await sessions(users, user) == 0


async def test_no_command_fails_while_users_alternate(secrets, users, alternate):
    """Ten changes of user and password under load fail no command, and after each one the other
    user's connections are gone.
    """
    client = await create_client(secrets, "cache/app", decode_responses=True)
    async with client, under_load(whoami(client)) as load:
        before = users[0].name
        for _ in range(10):
            now = await alternate()
            await until(lambda before=before: gone(users, before))
            await until(lambda now=now: has(load, now))
            before = now

    assert load.failed == []
    assert load.users == {users[0].name, users[1].name}


async def open_are(users, user: str, number: int) -> bool:
    return await sessions(users, user) == number


async def has(load, user: str) -> bool:
    return user in load.users


async def test_control_a_fixed_login_fails_once_its_user_is_cut_off(users):
    """The control: a client built once with the first user fails when that user is off."""
    one, _ = users
    fixed = Redis(
        port=one.server.port, username=one.name, password=FIRST, retry=None, decode_responses=True
    )
    async with fixed, under_load(whoami(fixed)) as load:
        await until(lambda: has(load, one.name))
        await one.run("ACL SETUSER", one.name, "off")
        await one.run("CLIENT KILL", "USER", one.name)
        await until(lambda: failed(load))

    assert isinstance(load.failed[-1], RedisError)


async def failed(load) -> bool:
    return any(isinstance(error, AuthenticationError) for error in load.failed)


async def test_idle_connections_are_closed(secrets, users, alternate):
    """After a change nobody's connection of the old user stays, though no command is sent; the next
    commands open them anew.
    """
    async with await create_client(secrets, "cache/app") as client:
        await asyncio.gather(*(client.ping() for _ in range(3)))
        assert await sessions(users, users[0].name) == 3
        now = await alternate()
        await until(lambda: gone(users, users[0].name))

        await asyncio.gather(*(client.ping() for _ in range(3)))
        assert await sessions(users, now) == 3


async def test_change_takes_no_connection_from_commands(secrets, users, alternate):
    """While idle connections are replaced, commands get theirs, though the pool may have no more."""
    async with await create_client(secrets, "cache/app", max_connections=3) as client:
        await asyncio.gather(*(client.ping() for _ in range(3)))
        async with under_load(whoami(client), workers=2) as load:
            before = users[0].name
            for _ in range(10):
                now = await alternate()
                await until(lambda before=before: gone(users, before))
                before = now

    assert load.failed == []


async def test_connection_that_nobody_reaches_is_replaced(secrets, users, alternate):
    """The connection that came back first is given out last; it does not keep the old login."""
    async with await create_client(secrets, "cache/app") as client:
        pool = client.connection_pool
        first, second = [await pool.get_connection() for _ in range(2)]
        await pool.release(first)
        pool._logins.stop()  # to replace them here, at a moment that we know
        await alternate()
        replacing = asyncio.ensure_future(pool.replace_connections())
        await asyncio.sleep(0)
        await pool.release(second)  # on top of the first
        await replacing

        await until(lambda: gone(users, users[0].name))


async def test_connection_in_use_ends_when_it_is_given_back(secrets, users, alternate):
    """Who listens goes on with the old login, which counts as in use, and then it is gone."""
    secrets.consumers.rotated = frozenset({("", "cache/app")})
    async with await create_client(secrets, "cache/app") as client:
        connection = await client.connection_pool.get_connection()
        await alternate()
        [pool] = [each for each in secrets.consumers.reports() if each.kind == "pool"]
        assert pool.version == 1
        await connection.send_command("PING")
        assert await connection.read_response() == b"PONG"

        await client.connection_pool.release(connection)
        await until(lambda: gone(users, users[0].name))
        [pool] = [each for each in secrets.consumers.reports() if each.kind == "pool"]
        assert pool.version == 2
    assert [each for each in secrets.consumers.reports() if each.kind == "pool"] == []


async def test_refused_login_is_tried_with_what_vault_holds(secrets, users, client, mount):
    """A change by another program, not heard of yet, fails no command when the old user is off."""
    one, other = users
    await secrets.create("cache/app", one.data(one.name, FIRST), type=gs.SecretType.CACHE)
    async with await create_client(secrets, "cache/app", decode_responses=True) as redis:
        path = gs.paths.KvPath.of(mount, gs.PLATFORM, gs.paths.SecretPath.parse("cache/app"))
        await client.kv(gs.PLATFORM).write(path, other.data(other.name, SECOND))
        await one.run("ACL SETUSER", one.name, "off")

        assert await redis.execute_command("ACL WHOAMI") == other.name


async def test_login_that_vault_cannot_better_is_refused(secrets, users, alternate):
    """Where Vault holds the same login, the driver's error is the caller's."""
    async with await create_client(secrets, "cache/app") as client:
        await users[0].run("ACL SETUSER", users[0].name, "off")
        with pytest.raises(AuthenticationError):
            await client.ping()


async def test_connections_outlive_a_deleted_secret(secrets, users, alternate):
    """While there is no secret, open connections go on."""
    async with await create_client(secrets, "cache/app") as client:
        await client.ping()
        await secrets.delete("cache/app")

        assert await client.ping()


async def test_unreachable_server_is_an_error_and_holds_nothing(secrets, users):
    """Without a server a command fails as the driver says; closing gives the secret up."""
    one, _ = users
    data = {**one.data(one.name, FIRST), "port": str(free_port())}
    await secrets.create("cache/app", data, type=gs.SecretType.CACHE)
    async with await create_client(secrets, "cache/app", retry=None) as client:
        with pytest.raises(RedisError):
            await client.ping()

    assert secrets.followers._followed == {}


async def test_options_that_the_secret_decides_are_refused(secrets):
    """A password beside the secret's is a mistake, told before anything is asked."""
    with pytest.raises(TypeError, match="password"):
        await create_client(secrets, "cache/app", password="x")
