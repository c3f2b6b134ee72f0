"""What `explain` says of a secret, on a real server: never its value."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.testing import Fault
from support.canary import new_canary, shown_in
from support.database import database_engine


async def test_a_secret_that_was_read_is_explained(secrets, mount, vault_server):
    """Scope, URL, capability, version and what is in the cache; the value is nowhere in it."""
    canary = new_canary()
    await secrets.put("a/b", {"k": canary})

    before = await secrets.explain("a/b")
    await secrets.get("a/b")
    explanation = await secrets.explain("a/b")

    assert (before.cache, before.cached_version, before.cached_age) == ("absent", None, None)
    assert explanation.scope == gs.PLATFORM
    assert explanation.url == f"{vault_server.addr}/v1/{mount}/data/greenlang/a/b"
    assert (explanation.capability, explanation.held) == ("read", frozenset({"root"}))
    assert explanation.may_read
    assert (explanation.version, explanation.state) == (1, "live")
    assert (explanation.cache, explanation.cached_version) == ("fresh", 1)
    assert explanation.cached_age is not None
    assert explanation.cached_age >= 0
    assert (explanation.followed, explanation.leases, explanation.lease_left) == (False, 0, None)
    assert (explanation.rotation, explanation.last_error) == (None, None)
    assert shown_in(repr(explanation), canary) is None


async def test_looking_counts_as_no_read(secrets):
    """The cache's counts are as before, and a read after it is still the first."""
    await secrets.put("a", {"k": "v"})

    await secrets.explain("a")

    stats = secrets.cache.stats()
    assert (stats.entries, stats.hits, stats.misses) == (0, 0, 0)


async def test_a_tenants_secret_is_explained_in_its_scope(secrets, mount, vault_server):
    """The URL has the tenant's prefix, and the platform's secret of that path is another one."""
    await secrets.put("a", {"k": "v"})

    explanation = await secrets.for_tenant("acme").explain("a")

    assert explanation.scope == gs.Tenant(gs.TenantId("acme"))
    assert explanation.url == f"{vault_server.addr}/v1/{mount}/data/tenants/acme/a"
    assert (explanation.version, explanation.state) == (None, "missing")


async def test_deleted_and_overtaken_secrets_are_explained(config):
    """A deleted version is told; so is a value in the cache that is past its time."""
    cache = gs.CacheConfig(fresh_for=0.0, stale_for=300.0)
    async with gs.SecretsService.open(replace(config, cache=cache)) as secrets:
        await secrets.put("a", {"k": "v"})
        await secrets.get("a")
        stale = await secrets.explain("a")
        await secrets.delete("a")
        deleted = await secrets.explain("a")

    assert (stale.cache, stale.cached_version) == ("stale", 1)
    assert (deleted.version, deleted.state, deleted.cache) == (1, "deleted", "absent")


async def test_a_value_that_is_too_old_is_expired(config):
    """What is past even its stale time is there, and given no more."""
    cache = gs.CacheConfig(fresh_for=0.0, stale_for=0.0)
    async with gs.SecretsService.open(replace(config, cache=cache)) as secrets:
        await secrets.put("a", {"k": "v"})
        await secrets.get("a")

        assert (await secrets.explain("a")).cache == "expired"


async def test_a_refusal_that_is_remembered_is_explained(config):
    """For the time of `missing_for` a read is refused from memory; afterwards it is asked again."""
    cache = gs.CacheConfig(missing_for=0.2)
    async with gs.SecretsService.open(replace(config, cache=cache)) as secrets:
        assert await secrets.get_or_none("a") is None
        refused = await secrets.explain("a")
        while (await secrets.explain("a")).cache != "expired":
            await asyncio.sleep(0.01)

    assert (refused.cache, refused.cached_version) == ("refused", None)
    assert refused.last_error == "secret_not_found"


async def test_settings_without_a_version_are_no_secret(secrets, vault_server, mount):
    """A path that has metadata and no version has no value to read."""
    await vault_server.request("POST", f"{mount}/metadata/greenlang/a", {"max_versions": 3})

    explanation = await secrets.explain("a")

    assert (explanation.version, explanation.state) == (None, "missing")


async def test_a_denied_token_is_explained(denied):
    """What it holds is `deny`, the state is unknown, and the last error is the denial."""
    explanation = await denied.explain("a")

    assert explanation.held == frozenset({"deny"})
    assert explanation.may_read is False
    assert (explanation.version, explanation.state) == (None, None)
    assert explanation.last_error == "permission_denied"


async def test_a_vault_in_trouble_is_explained(config, vault_fault_proxy):
    """What Vault does not say is None, what is in the cache is told, and nothing is raised."""
    proxied = replace(config, addresses=(vault_fault_proxy.addr,), request_timeout=0.5)
    async with gs.SecretsService.open(proxied) as secrets:
        await secrets.put("a", {"k": "v"})
        await secrets.get("a")
        vault_fault_proxy.inject(Fault.RESET)
        explanation = await secrets.explain("a")
        vault_fault_proxy.clear()

    assert (explanation.held, explanation.may_read) == (None, None)
    assert (explanation.version, explanation.state) == (None, None)
    assert (explanation.cache, explanation.cached_version) == ("fresh", 1)
    assert explanation.last_error == "vault_unavailable"


async def test_who_follows_is_explained(secrets):
    """A secret that is held is followed; why its newest value does not come is the last error."""
    await secrets.put("a", {"k": "v"})
    async with await secrets.hold("a"):
        followed = await secrets.explain("a")
        await secrets.delete("a")
        deleted = await secrets.explain("a")
    after = await secrets.explain("a")

    assert (followed.followed, followed.last_error) == (True, None)
    assert (deleted.followed, deleted.last_error) == (True, "secret_deleted")
    assert (after.followed, after.last_error) == (False, None)


async def test_leases_made_with_a_secret_are_explained(secrets, vault_server, postgres_server):
    """Credentials whose place is at a path count there, and in no other scope."""
    at = "database/place"
    await secrets.create(
        at,
        {"host": "127.0.0.1", "port": "5432", "username": "u", "password": "p", "database": "d"},
        type=gs.SecretType.DATABASE,
    )
    async with database_engine(vault_server, postgres_server) as engine:
        await engine.role(ttl="1h", max_ttl="2h")
        async with await secrets.database_credentials("app", at=at, mount=engine.mount):
            platform = await secrets.explain(at)
            tenant = await secrets.for_tenant("acme").explain(at)
            other = await secrets.explain("database/other")

    assert platform.leases == 1
    assert platform.lease_left is not None
    assert 3000 < platform.lease_left <= 3600
    assert (tenant.leases, other.leases) == (0, 0)


async def test_who_may_not_read_gets_no_explanation(secrets):
    """Even that a secret is there is not told to who may not read it."""
    await secrets.put("a", {"k": "v"})
    lister = gs.Principal(subject="lister", permissions=frozenset({gs.Permission.LIST}))
    view = secrets.scoped(gs.TenantContext(principal=lister, scope=gs.PLATFORM))

    with pytest.raises(gs.AccessDenied):
        await view.explain("a")
    with pytest.raises(gs.InvalidPath):
        await secrets.explain("a//b")
