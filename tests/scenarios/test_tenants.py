"""Tenants on one server, provisioned as in production, with the server's audit file as witness."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.paths import ApiPath, KvPath
from greenlang_secrets.provision import provision
from greenlang_secrets.transport import VaultRequest
from greenlang_secrets.vault import tenant_tokens

NAMES = ("a", "ab", "a-b")


@pytest.fixture
async def bao(new_vault_server):
    """A server of this test's own, provisioned by an administrator."""
    server = await new_vault_server()
    admin = gs.SecretsServiceConfig(
        addresses=(server.addr,), auth=gs.AuthConfig(token=gs.SecretValue(server.root_token))
    )
    async with Supervisor() as supervisor, gs.VaultClient.open(admin, supervisor) as client:
        await provision(client)
    return server


@pytest.fixture
async def service_config(bao, tmp_path):
    """The service as it runs in production: AppRole, and a token for each tenant."""
    _, role = await bao.request("GET", "auth/approle/role/greenlang-secrets/role-id")
    _, secret = await bao.request("POST", "auth/approle/role/greenlang-secrets/secret-id")
    secret_id_file = tmp_path / "secret-id"
    secret_id_file.write_text(secret["data"]["secret_id"])
    return gs.SecretsServiceConfig(
        addresses=(bao.addr,),
        auth=gs.AuthConfig(
            method="approle", role=role["data"]["role_id"], secret_id_file=secret_id_file
        ),
        cache=gs.CacheConfig(missing_for=0, denied_for=0),
    )


@pytest.fixture
async def secrets(service_config):
    async with gs.SecretsService.open(service_config) as service:
        yield service


async def kv_paths(server, since: int) -> set[str]:
    """The paths under the KV mount that the server was asked for."""
    return {path for _, path in await server.audit_requests(since, "secret/")}


async def test_colliding_names_of_similar_tenants_stay_apart(secrets, bao):
    """Tenants a, ab and a-b, and the platform, each see their own secret at the same path."""
    mark = await bao.audit_mark()
    for tenant in NAMES:
        await secrets.for_tenant(tenant).create("b/k", {"of": tenant})
    await secrets.create("b/k", {"of": "platform"})

    async def read(tenant: str, times: int) -> set[str]:
        view = secrets.for_tenant(tenant)
        return {(await view.get("b/k", max_age=0.001))["of"].reveal() for _ in range(times)}

    seen = await asyncio.gather(*(read(tenant, 50) for tenant in NAMES))

    assert seen == [{"a"}, {"ab"}, {"a-b"}]
    assert (await secrets.get("b/k"))["of"].reveal() == "platform"
    assert all(
        path.split("/")[2:4] in (["tenants", "a"], ["tenants", "ab"], ["tenants", "a-b"])
        or path.split("/")[2] == "greenlang"
        for path in await kv_paths(bao, mark)
    )


async def test_followers_of_similar_tenants_stay_apart(secrets, bao):
    """Loops of tenants a, ab and a-b at the same path read, each with its tenant's own token, what
    is the tenant's: a change of one is told to nobody else.
    """
    watches = {}
    for tenant in NAMES:
        view = secrets.for_tenant(tenant)
        await view.create("b/k", {"of": tenant})
        watches[tenant] = view.watch("b/k")
    first = {tenant: (await anext(watch))["of"].reveal() for tenant, watch in watches.items()}
    steps = {tenant: asyncio.ensure_future(anext(watch)) for tenant, watch in watches.items()}
    mark = await bao.audit_mark()

    await bao.request("POST", "secret/data/tenants/ab/b/k", {"data": {"of": "ab again"}})
    secrets.followers.changed("ab", "b/k")
    told = await asyncio.wait_for(steps["ab"], 5)

    assert first == {tenant: tenant for tenant in NAMES}
    assert told["of"].reveal() == "ab again"
    assert not steps["a"].done()
    assert not steps["a-b"].done()
    assert await kv_paths(bao, mark) == {"secret/data/tenants/ab/b/k"}
    for step in steps.values():
        step.cancel()


async def test_tenant_sees_only_its_own_names_in_a_listing(secrets):
    """A listing begins and ends in the tenant's own prefix."""
    for tenant in NAMES:
        await secrets.for_tenant(tenant).create(f"of-{tenant}", {"k": "v"})

    listed = {
        tenant: [entry.path async for entry in secrets.for_tenant(tenant).list()]
        for tenant in NAMES
    }

    assert listed == {tenant: [f"of-{tenant}"] for tenant in NAMES}


async def test_tenant_goes_through_a_secrets_whole_life(secrets):
    """The tenant's policy allows what the API offers: write, patch, delete, undelete, destroy."""
    acme = secrets.for_tenant("acme")

    await acme.create("x", {"k": "1"}, type=gs.SecretType.API_KEY, custom_metadata={"owner": "b"})
    await acme.put("x", {"k": "2"}, expected_version=1, custom_metadata={"owner": "c"})
    await acme.patch("x", {"note": "n"})
    await acme.delete("x")
    await acme.undelete("x", [3])
    await acme.delete("x", [2])
    await acme.destroy("x", [1], reason="test")

    assert [row.state for row in await acme.versions("x")] == ["live", "deleted", "destroyed"]
    assert (await acme.get("x")).data.reveal() == {"k": "2", "note": "n"}
    assert (await acme.get("x")).custom_metadata == {"owner": "c"}


@pytest.mark.parametrize(
    "raw",
    [
        "../ab/b/k",
        "%2e%2e/ab/b/k",
        "..%2fab",
        "%252e%252e/ab",
        "/ab",
        "b//k",
        "b/k/",
        "b/./k",
        "b\x00k",
        "b/k\n",
        "ü",
        "\uff0e\uff0e/ab",
        "x" * 600,
    ],
)
async def test_path_that_could_leave_the_prefix_is_refused_and_not_sent(secrets, bao, raw):
    """Whatever could be read as another path is an error before any request."""
    view = secrets.for_tenant("a")
    mark = await bao.audit_mark()

    for call in (
        lambda: view.get(raw),
        lambda: view.put(raw, {"k": "v"}),
        lambda: view.delete(raw),
        lambda: view.page(raw + "/"),
    ):
        with pytest.raises(gs.InvalidPath):
            await call()

    assert await bao.audit_requests(mark) == []


async def test_second_wall_holds_where_the_first_would_fail(secrets, bao):
    """With tenant a's token Vault itself refuses tenant ab's secret, its list and the root's:
    a bug in our path code would not be enough.
    """
    await secrets.for_tenant("a").create("x", {"k": "of-a"})
    await secrets.for_tenant("ab").create("x", {"k": "of-ab"})
    holder = secrets.client._holder(gs.Tenant(gs.TenantId("a")))

    async def status(method: str, path: str) -> int:
        answer = await holder.call(VaultRequest(method=method, path=ApiPath(path)))
        return answer.status

    assert await status("GET", "secret/data/tenants/a/x") == 200  # control: the token works
    for method, path in (
        ("GET", "secret/data/tenants/ab/x"),
        ("GET", "secret/metadata/tenants/ab/x"),
        ("LIST", "secret/metadata/tenants/ab/"),
        ("LIST", "secret/metadata/tenants/"),
        ("GET", "secret/data/greenlang/x"),
        ("DELETE", "secret/metadata/tenants/a/x"),
        ("GET", "secret/data/tenants/a"),
        ("POST", "auth/token/create/tenant"),
    ):
        assert await status(method, path) == 403, path


async def test_platforms_own_token_does_not_open_tenants_secrets(secrets, bao):
    """The service's login reads the platform's prefix; tenants' only through their tokens."""
    await secrets.for_tenant("a").create("x", {"k": "v"})
    path = KvPath.of("secret", gs.Tenant(gs.TenantId("a")), gs.SecretPath.parse("x"))

    with pytest.raises(gs.AccessDenied):
        await secrets.client.kv(gs.PLATFORM).read(path)


async def test_one_token_is_made_for_many_concurrent_first_reads(secrets, bao):
    """A tenant's first 100 reads share one token, and a second tenant gets another."""
    mark = await bao.audit_mark()

    for tenant in ("acme", "globex"):
        view = secrets.for_tenant(tenant)
        await asyncio.gather(*(view.get_or_none(f"s{n}") for n in range(100)))

    made = await bao.audit_requests(mark, "auth/token/create")
    assert made == [("update", "auth/token/create/tenant")] * 2


async def test_revoked_service_token_leaves_tenants_reading(secrets, bao):
    """Tenant tokens are orphans: the service's own token may die without them, and new ones are
    made after one login.
    """
    await secrets.for_tenant("acme").create("x", {"k": "acme"})
    await bao.request("POST", "sys/leases/revoke-prefix/auth/approle/login")
    mark = await bao.audit_mark()

    held = await secrets.for_tenant("acme").get("x", fresh=True)
    await secrets.for_tenant("globex").create("x", {"k": "globex"})

    assert held["k"].reveal() == "acme"
    assert len(await bao.audit_requests(mark, "auth/approle/login")) == 1


async def test_revoked_tenant_token_is_replaced_unseen(secrets, bao):
    """200 concurrent reads after a tenant token's death succeed with one new token."""
    acme = secrets.for_tenant("acme")
    for n in range(5):
        await acme.create(f"s{n}", {"k": str(n)})
    holder = secrets.client._holder(acme.context.scope)
    await bao.request("POST", "auth/token/revoke", {"token": holder.token.value.reveal()})
    mark = await bao.audit_mark()

    read = await asyncio.gather(*(acme.get(f"s{n % 5}", fresh=True) for n in range(200)))

    assert [secret["k"].reveal() for secret in read] == [str(n % 5) for n in range(200)]
    assert await bao.audit_requests(mark, "auth/token/create") == [
        ("update", "auth/token/create/tenant")
    ]


async def test_tokens_of_tenants_long_unused_are_dropped(secrets, monkeypatch):
    """No more tenant tokens are held than the bound; a dropped tenant simply gets a new one."""
    monkeypatch.setattr(tenant_tokens, "MAX_TENANT_TOKENS", 2)
    for tenant in ("a", "b", "c"):
        await secrets.for_tenant(tenant).create("x", {"k": tenant})

    tokens = secrets.client._tenant_tokens
    assert [tenant.value for tenant in tokens._holders] == ["b", "c"]
    assert (await secrets.for_tenant("a").get("x", fresh=True))["k"].reveal() == "a"


async def test_tokens_of_five_hundred_tenants_are_revoked_at_close(service_config, bao):
    """A clean end leaves no tenant's token, however many there are."""
    mark = await bao.audit_mark()
    async with gs.SecretsService.open(service_config) as service:
        views = [service.for_tenant(f"t-{number}") for number in range(500)]
        for begin in range(0, 500, 50):
            await asyncio.gather(*(view.get_or_none("x") for view in views[begin : begin + 50]))

    made = await bao.audit_requests(mark, "auth/token/create/tenant")
    revoked = await bao.audit_requests(mark, "auth/token/revoke-self")
    assert (len(made), len(revoked)) == (500, 501)  # the service's own among them


async def test_server_without_the_token_role_says_what_to_do(service_config, bao):
    """A service that may not make tenant tokens tells the operator to provision."""
    missing = replace(service_config, tenant_token_role="no-such-role")
    async with gs.SecretsService.open(missing) as service:
        with pytest.raises(gs.AuthenticationLost, match="greenlang-secrets provision"):
            await service.for_tenant("acme").get("x")


async def test_single_token_mode_keeps_the_first_wall(bao):
    """Without tenant tokens the paths alone keep tenants apart, and they do."""
    config = gs.SecretsServiceConfig(
        addresses=(bao.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(bao.root_token)),
        tenant_token_role=None,
    )
    async with gs.SecretsService.open(config) as service:
        for tenant in NAMES:
            await service.for_tenant(tenant).create("x", {"k": tenant})

        read = [(await service.for_tenant(tenant).get("x"))["k"].reveal() for tenant in NAMES]

    assert read == list(NAMES)


async def test_principal_of_one_tenant_cannot_be_given_anothers_view(secrets, bao):
    """The context itself cannot be made, so no view of it exists."""
    who = gs.Principal(
        subject="u", permissions=frozenset(gs.Permission), tenant=gs.TenantId("acme")
    )
    mark = await bao.audit_mark()

    with pytest.raises(gs.AccessDenied):
        secrets.for_tenant("globex", principal=who)
    with pytest.raises(gs.AccessDenied):
        secrets.scoped(gs.TenantContext(principal=who, scope=gs.PLATFORM))

    assert await bao.audit_requests(mark) == []


async def test_encryption_keeps_tenants_apart_with_one_key_and_one_token(secrets, bao):
    """A tenant's token may not use the engine; the service's may, bound to the tenant by us."""
    key = "pii-encryption-key"
    acme = secrets.for_tenant("acme").encryption_key(key)
    globex = secrets.for_tenant("globex").encryption_key(key)
    platform = secrets.encryption_key(key)

    encrypted = await acme.encrypt("x", bound_to=("users.email",))
    await bao.request("POST", f"transit/keys/{key}/rotate")

    for stranger in (globex, platform):
        with pytest.raises(gs.CiphertextRefused):
            await stranger.decrypt(encrypted, bound_to=("users.email",))
    anew = await acme.rewrap(encrypted, bound_to=("users.email",))
    assert (await acme.decrypt(anew, bound_to=("users.email",))).reveal() == b"x"
    unbound = await platform.rewrap(await platform.encrypt("y"))
    assert (await platform.decrypt(unbound)).reveal() == b"y"
    with pytest.raises(gs.AccessDenied):
        await secrets.client.transit(scope=gs.Tenant(gs.TenantId("acme"))).encrypt(
            key, gs.Plaintext.of(b"x")
        )


async def test_service_issues_certificates_as_provisioned(secrets):
    """The service's own policy is enough for its two roles, by the names it uses."""
    certificate = await secrets.certificate(
        "internal-mtls", common_name="a.mtls.greenlang.internal"
    )

    assert len(certificate.chain) == 2
