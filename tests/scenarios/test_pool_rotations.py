"""Pools under constant load while their login is rotated, again and again, by another replica: no
query fails, though each old login and its connections are cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import create_async_engine as fixed_engine

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.catalogue import Catalogue
from greenlang_secrets.integrations import asyncpg as asyncpg_pool
from greenlang_secrets.integrations import psycopg as psycopg_pool
from greenlang_secrets.integrations import redis as redis_client
from greenlang_secrets.integrations import sqlalchemy as sqlalchemy_engine
from greenlang_secrets.model import SecretType
from greenlang_secrets.paths import PLATFORM, KvPath, SecretPath
from greenlang_secrets.rotation.config import RotationConfig
from greenlang_secrets.rotation.manager import RotationManager
from greenlang_secrets.rotation.postgresql import PostgresqlRotation
from greenlang_secrets.rotation.redis import RedisRotation
from greenlang_secrets.rotation_model import RotationKind, RotationPolicy, RotationState
from support import acl_users, pairs
from support.catalogues import of_file
from support.database import CUT_OFF, database_engine
from support.mounts import own_name
from support.pool_load import Load, under_load, until
from support.rotating import declared

measured = logging.getLogger("measured")

ROTATIONS, ACCOUNTS = 20, 10
DATABASE, CACHE = "database/app", "cache/app"
LOAD = {"workers": 3, "pause": 0.02}

WHO = "SELECT session_user"

# A replica hears of a rotation within 0.2 s, and the old login is cut off 1.3 s after it. A
# machine that runs other tests may keep Vault from answering for a while: that is no failure.
FRESH = gs.CacheConfig(fresh_for=0.2, stale_for=1.0, missing_for=0, denied_for=0)
QUICK = RotationConfig(
    scan_every=0.1, eso_refresh=0.0, margin=0.1, least_gap=0.0, first_backoff=0.2, skew=0.1
)


@dataclass
class Rotated:
    """A login in a real PostgreSQL and one in a real Valkey, which `rotate` changes.

    Attributes:
        app: the service of the application, which does not rotate.
    """

    app: gs.SecretsService
    rotate: Callable[[str], Awaitable[None]]


@pytest.fixture
async def config(vault_server) -> AsyncIterator[gs.SecretsServiceConfig]:
    """The shared server, and a mount of the test's own."""
    mount = own_name("pools")
    body = {"type": "kv", "options": {"version": "2"}}
    assert (await vault_server.request("POST", f"sys/mounts/{mount}", body))[0] == 204

    async def there() -> bool:
        return (await vault_server.request("GET", f"{mount}/config"))[0] == 200

    await until(there)
    yield gs.SecretsServiceConfig(
        addresses=(vault_server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(vault_server.root_token)),
        cache=FRESH,
        kv_mount=mount,
        tenant_token_role=None,
    )
    await vault_server.request("DELETE", f"sys/mounts/{mount}")


@pytest.fixture
async def stage(config, postgres_server, valkey_server, tmp_path: Path) -> AsyncIterator[Rotated]:
    """Two users of PostgreSQL that take turns, and one of Valkey with two passwords; the one that is
    retired is cut off. The application's service is open beside the one that rotates.
    """
    place = of_file(tmp_path)
    await place.migrate()
    mount = config.kv_mount
    async with (
        pairs.user_pair(postgres_server) as pair,
        acl_users.acl_user(valkey_server) as user,
        gs.SecretsService.open(config) as rotator,
        gs.SecretsService.open(config) as app,
        Supervisor() as supervisor,
        Catalogue.open(place.config, supervisor) as catalogue,
        RotationManager.open(
            rotator,
            catalogue,
            supervisor,
            config=QUICK,
            handlers=[
                PostgresqlRotation(rotator.client, kv_mount=mount),
                RedisRotation(rotator.client, kv_mount=mount),
            ],
        ) as manager,
    ):

        async def put(path: str, data: dict[str, str], type_: SecretType) -> None:
            of = KvPath.of(mount, PLATFORM, SecretPath.parse(path))
            await declared(rotator.client, of, data, type_)

        async def rotate(path: str) -> None:
            run = await manager.rotate(path)
            await run.until(RotationState.IDLE, within=30)

        await put(f"{DATABASE}-admin", pair.data(pair.admin, pairs.ADMIN), SecretType.DATABASE)
        await put(DATABASE, pair.data(pair.a, pairs.FIRST), SecretType.DATABASE)
        await put(f"{CACHE}-admin", user.data(user.admin, acl_users.ADMIN), SecretType.CACHE)
        await put(CACHE, user.data(user.name, acl_users.FIRST), SecretType.CACHE)
        settings = {"users": pair.users, "owner": pair.owner, "terminate": "true"}
        for path, kind, more in (
            (DATABASE, RotationKind.POSTGRESQL, settings),
            (CACHE, RotationKind.REDIS, {}),
        ):
            policy = RotationPolicy(
                kind=kind, interval=1e6, settings={"admin": f"{path}-admin", **more}
            )
            await manager.set_policy(path, policy)
        yield Rotated(app, rotate)


async def ask(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text(WHO)))


async def ask_psycopg(pool: psycopg_pool.FollowingPool) -> str:
    async with pool.connection() as connection:
        row = await (await connection.execute(WHO)).fetchone()
        assert row is not None
        return str(row[0])


@asynccontextmanager
async def three_pools(
    secrets: gs.SecretsService, source: Any, **place: Any
) -> AsyncIterator[dict[str, Load]]:
    """An engine of SQLAlchemy, a pool of asyncpg and one of psycopg, all of them under load."""
    async with AsyncExitStack() as stack:
        arguments = {"ssl": False, **place}
        engine = await sqlalchemy_engine.create_async_engine(
            secrets, source, pool_size=2, max_overflow=1, connect_args=arguments
        )
        stack.push_async_callback(engine.dispose)
        first = await stack.enter_async_context(
            await asyncpg_pool.create_pool(secrets, source, min_size=1, max_size=3, **arguments)
        )
        libpq = {"sslmode": "disable", **place}
        if database := libpq.pop("database", None):
            libpq["dbname"] = database
        second = await stack.enter_async_context(
            await psycopg_pool.create_pool(secrets, source, min_size=1, max_size=3, kwargs=libpq)
        )
        yield {
            "sqlalchemy": await stack.enter_async_context(under_load(lambda: ask(engine), **LOAD)),
            "asyncpg": await stack.enter_async_context(
                under_load(lambda: first.fetchval(WHO), **LOAD)
            ),
            "psycopg": await stack.enter_async_context(
                under_load(lambda: ask_psycopg(second), **LOAD)
            ),
        }


def refuses_password(load: Load) -> bool:
    """Whether the server has refused a password; SQLAlchemy wraps what asyncpg raises."""
    return any("password authentication failed" in str(each) for each in load.failed)


def tell(loads: dict[str, Load]) -> None:
    measured.info("%s", {name: (each.answered, len(each.users)) for name, each in loads.items()})


@pytest.mark.timeout(240)
async def test_twenty_rotations_fail_no_query(stage):
    """Twenty rotations of a PostgreSQL login, each of which ends the sessions of the old user, and of
    a Valkey password, under constant load: no query fails, in SQLAlchemy, asyncpg or psycopg, and
    no command in redis-py.
    """
    client = await redis_client.create_client(stage.app, CACHE)

    async def ping() -> str:
        return str(await client.ping())

    async def rotate(path: str) -> None:
        for _ in range(ROTATIONS):
            await stage.rotate(path)

    async with (
        client,
        under_load(ping, **LOAD) as commands,
        three_pools(stage.app, DATABASE) as queries,
    ):
        await asyncio.gather(rotate(DATABASE), rotate(CACHE))

    loads = {**queries, "redis": commands}
    tell(loads)
    assert {name: each.failed for name, each in loads.items()} == {name: [] for name in loads}
    assert {len(each.users) for each in queries.values()} == {2}
    for path in (DATABASE, CACHE):
        assert (await stage.app.get(path, fresh=True)).version == 1 + ROTATIONS
    assert min(each.answered for each in loads.values()) > 10 * ROTATIONS


async def test_control_an_engine_with_the_login_of_its_start_fails(stage):
    """The control: an engine whose login was read at the start, as from an environment variable, is
    cut off by one rotation and logs in no more.
    """
    login = await stage.app.get_typed(DATABASE, gs.DatabaseCredentials)
    url = URL.create(
        "postgresql+asyncpg",
        username=login.username,
        password=login.password.reveal(),
        host=login.host,
        port=login.port,
        database=login.database,
    )
    engine = fixed_engine(url, pool_size=2, connect_args={"ssl": False})
    async with under_load(lambda: ask(engine), **LOAD) as load:

        async def answered() -> bool:
            return load.answered > 0

        await until(answered)
        assert load.failed == []
        await stage.rotate(DATABASE)

        async def refused() -> bool:
            return refuses_password(load)

        await until(refused)
    await engine.dispose()


async def test_control_a_client_with_the_password_of_its_start_fails(stage):
    """The control: a client whose password was read at the start is refused once it connects anew
    after a rotation.
    """
    login = await stage.app.get_typed(CACHE, gs.RedisCredentials)
    async with Redis(
        host=str(login.host),
        port=login.port,
        username=login.username,
        password=login.password.reveal(),
        driver_info=None,
    ) as fixed:
        assert await fixed.ping()
        await stage.rotate(CACHE)
        await fixed.connection_pool.disconnect()
        with pytest.raises(AuthenticationError):
            await fixed.ping()


@pytest.fixture
async def role(vault_server, postgres_server):
    """A role whose accounts live two seconds, and whose connections end with them."""
    async with database_engine(vault_server, postgres_server) as engine:
        await engine.role(ttl="2s", max_ttl="2s", at_end=CUT_OFF)
        yield engine


def place_of(server: Any) -> dict[str, Any]:
    return {"host": server.host, "port": server.port, "database": "postgres"}


async def test_ten_accounts_fail_no_query(config, role, postgres_server):
    """Ten accounts of Vault's database engine, one after another, each dropped with its
    connections two seconds after it was made: no query fails.
    """
    async with (
        gs.SecretsService.open(config) as secrets,
        await secrets.database_credentials("app", mount=role.mount) as held,
        three_pools(secrets, held, **place_of(postgres_server)) as loads,
    ):

        async def enough() -> bool:
            return all(len(each.users) > ACCOUNTS for each in loads.values())

        await until(enough, within=60)

    tell(loads)
    assert {name: each.failed for name, each in loads.items()} == {name: [] for name in loads}


async def test_control_an_engine_with_the_account_of_its_start_fails(config, role, postgres_server):
    """The control: an engine with the first account fails once that account is gone."""
    async with (
        gs.SecretsService.open(config) as secrets,
        await secrets.database_credentials("app", mount=role.mount) as held,
    ):
        url = URL.create(
            "postgresql+asyncpg",
            username=held.current.username,
            password=held.current.password.reveal(),
            **place_of(postgres_server),
        )
        engine = fixed_engine(url, pool_size=2, connect_args={"ssl": False})
        async with under_load(lambda: ask(engine), **LOAD) as load:

            async def refused() -> bool:
                return refuses_password(load)

            await until(refused)
        await engine.dispose()
    assert load.answered > 0
