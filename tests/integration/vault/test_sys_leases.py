from __future__ import annotations

from datetime import timedelta

import pytest

from greenlang_secrets.errors import (
    AccessDenied,
    InvalidPath,
    LeaseExpired,
    NotRenewable,
    VaultRefused,
)
from greenlang_secrets.vault.database import Database
from greenlang_secrets.vault.database_setup import DatabaseRole
from greenlang_secrets.vault.pki import Pki
from greenlang_secrets.vault.pki_roles import PkiRole
from greenlang_secrets.vault.sys_leases import Leases
from support.mounts import mounted, speaking, token_with

CREATE = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"


@pytest.fixture
async def call(vault_server):
    async with speaking(vault_server, vault_server.root_token) as call:
        yield call


@pytest.fixture
def leases(call) -> Leases:
    return Leases(call)


@pytest.fixture
async def database(vault_server, postgres_server, call):
    """An engine with the roles ``app`` and ``apple``; set up by the witness."""
    async with mounted(vault_server, "database") as mount:
        await vault_server.request(
            "POST",
            f"{mount}/config/pg",
            {
                "plugin_name": "postgresql-database-plugin",
                "connection_url": "postgresql://{{username}}:{{password}}@"
                f"{postgres_server.host}:{postgres_server.port}/postgres?sslmode=disable",
                "username": postgres_server.user,
                "password": postgres_server.password,
                "allowed_roles": ["*"],
            },
        )
        engine = Database(call, mount=mount)
        role = DatabaseRole(
            connection="pg",
            creation_statements=(CREATE,),
            default_ttl=60.0,
            max_ttl=300.0,
        )
        await engine.setup.write_role("app", role)
        await engine.setup.write_role("apple", role)
        yield engine
        await vault_server.request("POST", f"sys/leases/revoke-prefix/{mount}", {"sync": True})


@pytest.fixture
async def lease_id(database) -> str:
    return (await database.credentials("app")).lease.id


async def test_lease_tells_its_life(leases, lease_id):
    """A lookup says how long the lease lives, since when, and that it was never renewed."""
    known = await leases.lookup(lease_id)

    assert (known.id, known.renewable, known.renewed_at) == (lease_id, True, None)
    assert 50 < known.ttl <= 60
    assert known.expires_at - known.issued_at >= timedelta(seconds=59)


async def test_renewal_gives_what_was_asked_for(leases, lease_id):
    """A renewal lengthens a lease, and a smaller increment shortens it."""
    longer = await leases.renew(lease_id, increment=200.0)
    shorter = await leases.renew(lease_id, increment=5.0)

    assert (longer.lease.id, longer.lease.duration, longer.capped) == (lease_id, 200.0, False)
    assert shorter.lease.duration == 5.0
    assert (await leases.lookup(lease_id)).renewed_at is not None


async def test_renewal_beyond_the_maximum_is_capped(leases, lease_id):
    """Past `max_ttl` a renewal succeeds with less, and says so."""
    renewed = await leases.renew(lease_id, increment=3600.0)

    assert renewed.capped
    assert renewed.lease.duration <= 300.0
    assert len(renewed.warnings) == 1


async def test_renewal_without_increment_gives_the_roles_time(leases, lease_id):
    """None leaves the length to Vault."""
    renewed = await leases.renew(lease_id)

    assert (renewed.lease.duration, renewed.capped) == (60.0, False)


async def test_revoked_lease_has_expired(leases, lease_id):
    """A revoked lease is neither looked up nor renewed; revoking it again is nothing."""
    await leases.revoke(lease_id, wait=True)
    await leases.revoke(lease_id)

    with pytest.raises(LeaseExpired):
        await leases.lookup(lease_id)
    with pytest.raises(LeaseExpired):
        await leases.renew(lease_id)


async def test_lease_that_lives_to_its_end_is_not_renewable(leases, vault_server, call):
    """A certificate's lease cannot be renewed, which is not the same as being over."""
    async with mounted(vault_server, "pki") as mount:
        await vault_server.request(
            "POST", f"{mount}/root/generate/internal", {"common_name": "root", "key_type": "ec"}
        )
        pki = Pki(call, mount=mount)
        await pki.roles.write("r", PkiRole(allow_any_name=True, generate_lease=True))
        issued = await pki.issue("r", common_name="a.example.com", ttl=600.0)

        with pytest.raises(NotRenewable):
            await leases.renew(issued.lease.id)


async def test_who_may_not_look_up_hears_less(vault_server):
    """Who may renew and not look up hears VaultRefused instead of LeaseExpired."""
    rules = (
        'path "sys/leases/renew" { capabilities = ["update"] }',
        'path "sys/leases/lookup" { capabilities = ["deny"] }',
    )
    async with speaking(vault_server, await token_with(vault_server, *rules)) as call:
        with pytest.raises(VaultRefused):
            await Leases(call).renew("database/creds/app/none")


async def test_prefix_ends_at_a_slash(leases, database):
    """Revoking a role's leases leaves those of a role with a longer name alone."""
    ended = (await database.credentials("app")).lease.id
    living = (await database.credentials("apple")).lease.id
    mount = database._mount

    await leases.revoke_prefix(f"{mount}/creds/app", wait=True)

    with pytest.raises(LeaseExpired):
        await leases.lookup(ended)
    assert await leases.list(f"{mount}/creds/apple") == (living.rpartition("/")[2],)
    assert await leases.list(f"{mount}/creds/app") == ()
    assert f"{mount}/" in await leases.list()


async def test_prefix_outside_the_grammar_is_not_sent(leases):
    """An empty prefix would be every lease of the server; a climbing one somebody else's."""
    for prefix in ("", "/", "database/../auth", "database//creds"):
        with pytest.raises(InvalidPath):
            await leases.revoke_prefix(prefix)


async def test_denied_is_denied(vault_server, lease_id):
    """A token of the policy ``default`` looks up what it knows, and may list and revoke nothing."""
    async with speaking(vault_server, await token_with(vault_server)) as call:
        humble = Leases(call)

        assert (await humble.lookup(lease_id)).id == lease_id
        for attempt in (humble.revoke_prefix("database"), humble.list("database")):
            with pytest.raises(AccessDenied):
                await attempt
