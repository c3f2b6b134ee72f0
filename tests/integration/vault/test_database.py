from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    InvalidPath,
    ObjectNotFound,
    OutcomeUnknown,
    VaultRefused,
    VaultUnavailable,
)
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets.vault.database import Database
from greenlang_secrets.vault.database_setup import DatabaseRole, StaticRole
from greenlang_secrets.vault.sys_leases import Leases
from support.mounts import mounted, own_name, speaking, token_with

CREATE = (
    "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'",
)


@pytest.fixture
async def mount(vault_server):
    async with mounted(vault_server, "database") as name:
        yield name
        await vault_server.request("POST", f"sys/leases/revoke-prefix/{name}", {"sync": True})


@pytest.fixture
async def database(vault_server, mount):
    async with speaking(vault_server, vault_server.root_token) as call:
        yield Database(call, mount=mount)


@pytest.fixture
async def leases(vault_server):
    async with speaking(vault_server, vault_server.root_token) as call:
        yield Leases(call)


@pytest.fixture
async def admin(postgres_server):
    """A connection of PostgreSQL's own superuser."""
    connection = await asyncpg.connect(postgres_server.url)
    yield connection
    await connection.close()


async def connect_vault(database: Database, postgres_server, admin, **options) -> str:
    """Write the connection ``pg``, with an account of its own that may make others."""
    user = own_name("vault").replace("-", "_")
    await admin.execute(f"CREATE ROLE {user} WITH LOGIN SUPERUSER PASSWORD 'first'")
    settings = {
        "plugin_name": "postgresql-database-plugin",
        "connection_url": "postgresql://{{username}}:{{password}}@"
        f"{postgres_server.host}:{postgres_server.port}/postgres?sslmode=disable",
        "username": user,
        "password": SecretValue("first"),
        "allowed_roles": ("app", "account"),
        **options,
    }
    await database.setup.write_connection("pg", **settings)
    return user


@pytest.fixture
async def connected(database, postgres_server, admin) -> str:
    """The account that Vault uses."""
    return await connect_vault(database, postgres_server, admin)


@pytest.fixture
async def app_role(database, connected) -> DatabaseRole:
    role = DatabaseRole(
        connection="pg", creation_statements=CREATE, default_ttl=60.0, max_ttl=300.0
    )
    await database.setup.write_role("app", role)
    return role


@pytest.fixture
async def account(database, connected, admin):
    """The name of an account that the static role ``account`` rotates."""
    name = own_name("account").replace("-", "_")
    await admin.execute(f"CREATE ROLE {name} WITH LOGIN")
    role = StaticRole(connection="pg", username=name, rotation_period=3600.0)
    await database.setup.write_static_role("account", role)
    yield name
    await admin.execute(f"DROP ROLE {name}")


async def log_in(server, username: str, password: SecretValue) -> str:
    connection = await asyncpg.connect(
        host=server.host,
        port=server.port,
        user=username,
        password=password.reveal(),
        database="postgres",
    )
    try:
        return await connection.fetchval("SELECT current_user")
    finally:
        await connection.close()


# ---------------------------------------------------------------- dynamic credentials


async def test_dynamic_credentials_log_in(database, app_role, postgres_server):
    """What Vault hands out logs in to PostgreSQL, and its lease says how long it will."""
    credentials = await database.credentials("app")

    who = await log_in(postgres_server, credentials.username, credentials.password)

    assert who == credentials.username
    assert (credentials.lease.duration, credentials.lease.renewable) == (60.0, True)
    assert credentials.lease.id.startswith(f"{database._mount}/creds/app/")


async def test_each_asking_makes_another_account(database, app_role):
    """Two callers never share dynamic credentials."""
    first = await database.credentials("app")
    second = await database.credentials("app")

    assert first.username != second.username
    assert first.lease.id != second.lease.id


async def test_revoked_lease_ends_the_login(database, app_role, leases, postgres_server):
    """After its lease is revoked, a dynamic account cannot log in any more."""
    credentials = await database.credentials("app")
    await leases.revoke(credentials.lease.id, wait=True)

    with pytest.raises(asyncpg.InvalidPasswordError):
        await log_in(postgres_server, credentials.username, credentials.password)


async def test_password_is_masked_wherever_credentials_are_shown(database, app_role, account):
    """The repr of credentials names the account and not the password."""
    dynamic = await database.credentials("app")
    static = await database.static_credentials("account")

    assert dynamic.password.reveal() not in repr(dynamic)
    assert static.password.reveal() not in repr(static)
    assert dynamic.username in repr(dynamic)


async def test_unknown_roles_are_named(database, connected):
    """Vault's 400 to an unknown role is ObjectNotFound, with the kind and the API path."""
    with pytest.raises(ObjectNotFound) as dynamic:
        await database.credentials("none")
    with pytest.raises(ObjectNotFound) as static:
        await database.static_credentials("none")
    with pytest.raises(ObjectNotFound):
        await database.rotate_role("none")

    assert (dynamic.value.kind, dynamic.value.path) == ("role", f"{database._mount}/roles/none")
    assert static.value.kind == "static role"


async def test_role_that_its_connection_forbids_gives_nothing(database, connected):
    """OpenBao 2.7.2 says 500 to a role outside `allowed_roles`: VaultUnavailable."""
    await database.setup.write_role(
        "stranger", DatabaseRole(connection="pg", creation_statements=CREATE)
    )

    with pytest.raises(VaultUnavailable):
        await database.credentials("stranger")


async def test_refusals_are_told_apart_only_as_far_as_the_token_sees(
    vault_server, mount, database, app_role
):
    """A token that may not read roles hears VaultRefused; one that may nothing, AccessDenied."""
    token = await token_with(vault_server, f'path "{mount}/creds/*" {{ capabilities = ["read"] }}')
    async with speaking(vault_server, token) as call:
        engine = Database(call, mount=mount)

        assert (await engine.credentials("app")).username
        with pytest.raises(VaultRefused):
            await engine.credentials("none")
        with pytest.raises(AccessDenied):
            await engine.static_credentials("none")
        with pytest.raises(AccessDenied):
            await engine.setup.list_roles()


async def test_name_outside_the_grammar_is_not_sent(database):
    """A role name that would change the path is refused here."""
    with pytest.raises(InvalidPath):
        await database.credentials("../sys/raw")


# ---------------------------------------------------------------- static credentials


async def test_static_credentials_log_in(database, account, postgres_server):
    """A static role's password logs in, and says when it will change."""
    credentials = await database.static_credentials("account")

    assert await log_in(postgres_server, credentials.username, credentials.password) == account
    assert 3590 < credentials.ttl <= credentials.rotation_period == 3600.0
    assert datetime.now(UTC) - credentials.last_rotated_at < timedelta(minutes=1)


async def test_rotated_role_has_another_password_and_the_old_one_is_dead(
    database, account, postgres_server
):
    """After `rotate_role` the new password logs in and the old one does not."""
    old = await database.static_credentials("account")
    await database.rotate_role("account")
    new = await database.static_credentials("account")

    assert new.password != old.password
    assert await log_in(postgres_server, account, new.password) == account
    with pytest.raises(asyncpg.InvalidPasswordError):
        await log_in(postgres_server, account, old.password)


async def test_static_role_without_its_account_leaves_the_outcome_unknown(database, connected):
    """OpenBao says 500 when the account is missing, after which nobody knows what was done."""
    role = StaticRole(connection="pg", username="nobody_here", rotation_period=3600.0)

    with pytest.raises(OutcomeUnknown):
        await database.setup.write_static_role("account", role)


# ---------------------------------------------------------------- connections


async def test_connection_is_read_back_without_its_password(database, connected):
    """A connection shows plugin, account and roles; the password never comes back."""
    connection = await database.setup.read_connection("pg")

    assert connection.plugin_name == "postgresql-database-plugin"
    assert (connection.username, connection.allowed_roles) == (connected, ("app", "account"))
    assert "password" not in connection.details
    assert connection.details["connection_url"].reveal().startswith("postgresql://{{username}}")
    assert "postgresql://" not in repr(connection)


async def test_wrong_password_is_refused_at_once(database, postgres_server, admin):
    """A connection that cannot log in is not written; the error has nothing of Vault's text."""
    with pytest.raises(VaultRefused) as caught:
        await connect_vault(database, postgres_server, admin, password=SecretValue("wrong"))

    assert caught.value.status == 400
    assert "SASL" not in str(caught.value)
    assert await database.setup.list_connections() == ()


async def test_connection_need_not_be_verified(database, postgres_server, admin):
    """Without verification a connection is written for a database that comes later."""
    await connect_vault(
        database,
        postgres_server,
        admin,
        password=SecretValue("wrong"),
        verify_connection=False,
        options={"max_open_connections": 2, "password_authentication": "scram-sha-256"},
    )

    assert await database.setup.list_connections() == ("pg",)
    details = (await database.setup.read_connection("pg")).details
    assert details["max_open_connections"].reveal() == "2"


async def test_rotated_root_password_is_known_to_vault_alone(
    database, connected, app_role, postgres_server
):
    """After `rotate_root` the old password is dead and Vault still makes accounts."""
    await database.rotate_root("pg")

    with pytest.raises(asyncpg.InvalidPasswordError):
        await log_in(postgres_server, connected, SecretValue("first"))
    assert (await database.credentials("app")).username


async def test_reset_connection_works_on(database, app_role):
    """A connection that was closed and opened again makes accounts."""
    await database.setup.reset_connection("pg")

    assert (await database.credentials("app")).username


async def test_unknown_connection_is_named_before_anything_is_done(database):
    """Vault says 500 to an unknown connection; here it is ObjectNotFound."""
    for attempt in (
        database.rotate_root("none"),
        database.setup.reset_connection("none"),
        database.setup.read_connection("none"),
    ):
        with pytest.raises(ObjectNotFound) as caught:
            await attempt
        assert caught.value.facts == {"kind": "connection"}


async def test_rotation_needs_no_right_to_read_the_connection(
    vault_server, mount, database, connected
):
    """A token that may only rotate does, though it cannot see whether the connection exists."""
    rule = f'path "{mount}/rotate-root/*" {{ capabilities = ["update"] }}'
    async with speaking(vault_server, await token_with(vault_server, rule)) as call:
        await Database(call, mount=mount).rotate_root("pg")

    assert await database.setup.list_connections() == ("pg",)


async def test_deleted_connection_is_gone(database, connected):
    """A connection can be deleted, twice too."""
    await database.setup.delete_connection("pg")
    await database.setup.delete_connection("pg")

    assert await database.setup.list_connections() == ()


# ---------------------------------------------------------------- roles


async def test_role_is_read_back_as_written(database, app_role):
    """Reading a role, changing it and writing it back loses nothing."""
    role = replace(app_role, renew_statements=("SELECT 1",), max_ttl=90 * 24 * 3600.0)
    await database.setup.write_role("app", role)

    assert await database.setup.read_role("app") == role
    assert await database.setup.list_roles() == ("app",)


async def test_deleted_role_is_gone(database, app_role):
    """A role can be deleted; reading it says so."""
    await database.setup.delete_role("app")

    assert await database.setup.list_roles() == ()
    with pytest.raises(ObjectNotFound):
        await database.setup.read_role("app")


async def test_static_role_is_read_back_as_written(database, account):
    """A static role names its account, its period and when it last rotated."""
    role = await database.setup.read_static_role("account")

    assert (role.connection, role.username, role.rotation_period) == ("pg", account, 3600.0)
    assert role.last_rotated_at is not None
    assert await database.setup.list_static_roles() == ("account",)


async def test_deleted_static_role_leaves_the_account_its_password(
    database, account, postgres_server
):
    """After a static role is deleted its last password still logs in."""
    credentials = await database.static_credentials("account")
    await database.setup.delete_static_role("account")

    assert await database.setup.list_static_roles() == ()
    assert await log_in(postgres_server, account, credentials.password) == account
