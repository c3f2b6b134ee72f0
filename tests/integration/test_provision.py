"""Provisioning a real OpenBao: made once, left alone when right, put back when not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.background import Supervisor
from greenlang_secrets.provision import Change, Desired, provision

_WRITES = {"create", "update", "delete", "patch"}


@pytest.fixture
async def server(new_vault_server) -> Any:
    """An OpenBao that nobody has provisioned."""
    return await new_vault_server()


def _config(server: Any, **changes: Any) -> gs.SecretsServiceConfig:
    auth = gs.AuthConfig(token=gs.SecretValue(server.root_token))
    return gs.SecretsServiceConfig(
        addresses=(server.addr,),
        auth=auth,
        cache=gs.CacheConfig(missing_for=0, denied_for=0),
        **changes,
    )


@pytest.fixture
async def run(server) -> AsyncIterator[Callable[..., Any]]:
    """Provision that server with its root token."""
    async with (
        Supervisor() as supervisor,
        gs.VaultClient.open(_config(server), supervisor) as client,
    ):

        async def run(desired: Desired | None = None, *, plan: bool = False) -> list[Change]:
            return await provision(client, desired, plan=plan)

        yield run


async def _writes(server: Any, since: int) -> list[tuple[str, str]]:
    return [
        (operation, path)
        for operation, path in await server.audit_requests(since)
        if operation in _WRITES
    ]


async def test_a_fresh_server_gets_everything(server, run):
    """Every engine, policy, role and key is made and named in the answer."""
    changes = await run()

    assert {change.action for change in changes} == {"create"}
    assert {change.path for change in changes} == {
        *("sys/mounts/secret", "sys/mounts/database", "sys/mounts/transit"),
        *("sys/mounts/pki", "sys/mounts/pki_int"),
        *("sys/policies/acl/greenlang-secrets", "sys/policies/acl/tenant"),
        *("auth/token/roles/tenant", "auth/token/roles/service-token"),
        *("sys/auth/approle", "auth/approle/role/greenlang-secrets"),
        *("transit/keys/data-encryption-key", "transit/keys/pii-encryption-key"),
        *("pki/root", "pki_int/intermediate"),
        *("pki_int/roles/greenlang-services", "pki_int/roles/internal-mtls"),
    }


async def test_a_second_run_writes_nothing(server, run, postgres_server):
    """The audit log of a run over a provisioned server shows reads only."""
    desired = Desired(postgres_url=gs.SecretValue(postgres_server.url))
    await run(desired)
    mark = await server.audit_mark()

    changes = await run(desired)

    assert changes == []
    assert await _writes(server, mark) == []
    assert await server.audit_requests(mark, "sys/policies") != []  # it did look


async def test_a_plan_writes_nothing(server, run):
    """A plan names every change and makes none."""
    mark = await server.audit_mark()

    planned = await run(plan=True)

    assert await _writes(server, mark) == []
    assert planned == await run()


@pytest.mark.parametrize(
    ("path", "name", "wrong"),
    [
        ("sys/policies/acl/tenant", "policy", 'path "*" { capabilities = ["read"] }'),
        ("auth/token/roles/tenant", "orphan", False),
        ("auth/approle/role/greenlang-secrets", "token_policies", ["root"]),
        ("pki_int/roles/internal-mtls", "allowed_domains", ["evil.example"]),
        ("transit/keys/pii-encryption-key/config", "deletion_allowed", True),
    ],
)
async def test_a_changed_setting_is_put_back_and_reported(server, run, path, name, wrong):
    """What somebody changed by hand is as desired after the next run, which names it."""
    await run()
    at = path.removesuffix("/config")
    _, before = await server.request("GET", at)
    status, _ = await server.request("POST", path, {name: wrong})
    assert status in {200, 204}
    _, changed = await server.request("GET", at)
    assert changed["data"][name] == wrong

    [change] = await run()

    assert (change.action, change.path) == ("update", path)
    assert name in change.settings
    _, after = await server.request("GET", at)
    assert after["data"][name] == before["data"][name]
    assert await run() == []


async def test_a_changed_mount_is_tuned_back(server, run):
    """A CA's mount that would cut its certificates short is tuned back."""
    await run()
    await server.request("POST", "sys/mounts/pki_int/tune", {"max_lease_ttl": "1h"})

    changes = await run()

    assert [str(change) for change in changes] == ["update sys/mounts/pki_int (max_lease_ttl)"]
    assert await run() == []


async def test_a_database_user_lives_no_longer_than_the_environment_lets(
    server, run, postgres_server
):
    """In production a user ends after six hours, also where its role says a day, and however often
    its lease is renewed; the next environment tunes the mount, and names it.
    """
    url = gs.SecretValue(postgres_server.url)
    await run(Desired(postgres_url=url, environment=gs.Environment.PRODUCTION))
    _, made = await server.request("GET", "database/creds/greenlang-readonly")

    _, renewed = await server.request(
        "POST", "sys/leases/renew", {"lease_id": made["lease_id"], "increment": 24 * 3600}
    )

    assert made["lease_duration"] == 3600
    assert 6 * 3600 - 60 < renewed["lease_duration"] <= 6 * 3600
    changes = await run(Desired(postgres_url=url, environment=gs.Environment.STAGING))
    assert [str(each) for each in changes] == ["update sys/mounts/database (max_lease_ttl)"]
    _, after = await server.request("POST", "sys/leases/renew", {"lease_id": made["lease_id"]})
    assert after["lease_duration"] <= 12 * 3600


async def test_the_kv_mount_is_a_parameter(server, run):
    """Another KV mount gets the engine, and the policies name it."""
    await run(Desired(kv_mount="team/kv"))

    _, mounts = await server.request("GET", "sys/mounts")
    assert mounts["data"]["team/kv/"]["options"]["version"] == "2"
    assert "secret/" not in mounts["data"]
    _, policy = await server.request("GET", "sys/policies/acl/greenlang-secrets")
    assert 'path "team/kv/data/greenlang/*"' in policy["data"]["policy"]


async def test_a_mount_of_another_kind_stops_everything(server, run):
    """A mount of another type is refused before anything is written."""
    await server.request("POST", "sys/mounts/transit", {"type": "kv"})
    mark = await server.audit_mark()

    with pytest.raises(gs.ConfigurationError, match=r"'transit'.*'kv'"):
        await run()

    assert await _writes(server, mark) == []


async def test_kv_version_1_is_refused(server, run):
    """A KV mount of version 1 is refused with what to do."""
    await server.request("POST", "sys/mounts/secret", {"type": "kv"})

    with pytest.raises(gs.ConfigurationError, match="version 1"):
        await run()


async def test_a_token_without_rights_is_told_so(server, run):
    """A token that may not provision gets one clear refusal."""
    _, answer = await server.request("POST", "auth/token/create", {"policies": ["default"]})
    auth = gs.AuthConfig(token=gs.SecretValue(answer["auth"]["client_token"]))
    config = replace(_config(server), auth=auth)

    async with Supervisor() as supervisor, gs.VaultClient.open(config, supervisor) as client:
        with pytest.raises(gs.AccessDenied, match="administrator"):
            await provision(client)


async def _login(server: Any, folder: Any) -> gs.AuthConfig:
    """The service's own login, as a deployment has it."""
    role = "auth/approle/role/greenlang-secrets"
    _, role_id = await server.request("GET", f"{role}/role-id")
    _, secret_id = await server.request("POST", f"{role}/secret-id")
    file = folder / "secret-id"
    file.write_text(secret_id["data"]["secret_id"])
    return gs.AuthConfig(method="approle", role=role_id["data"]["role_id"], secret_id_file=file)


async def test_the_service_does_its_whole_work_under_its_policy(server, run, tmp_path):
    """With the AppRole every operation works, in the platform's scope and in a tenant's."""
    await run()
    config = replace(_config(server), auth=await _login(server, tmp_path))

    async with gs.SecretsService.open(config) as secrets:
        for view in (secrets, secrets.for_tenant("acme")):
            await view.create("a/b", {"k": "1"}, type=gs.SecretType.API_KEY)
            await view.put("a/b", {"k": "2"}, expected_version=1, custom_metadata={"owner": "me"})
            await view.patch("a/b", {"l": "3"})
            assert (await view.get("a/b")).data.reveal() == {"k": "2", "l": "3"}
            assert [entry.path async for entry in view.list()] == ["a/"]
            await view.delete("a/b")
            await view.undelete("a/b", [3])
            await view.delete("a/b", [1])
            await view.destroy("a/b", [1], reason="test")
            assert [row.state for row in await view.versions("a/b")] == [
                "live",
                "live",
                "destroyed",
            ]
        assert (await secrets.health()).status == "ok"


async def test_the_services_policy_is_enough_to_hold_an_account(
    server, run, tmp_path, postgres_server
):
    """Under its own policy the service makes an account, renews its lease and drops it."""
    await run(Desired(postgres_url=gs.SecretValue(postgres_server.url)))
    config = replace(_config(server), auth=await _login(server, tmp_path))
    async with gs.SecretsService.open(config) as service:
        held = await service.database_credentials("greenlang-readwrite")
        [kept] = service.leases._kept.values()
        renewed = await service.client.leases.renew(kept.entry.lease_id)
        await held.release()
        status, _ = await server.request(
            "LIST", "sys/leases/lookup/database/creds/greenlang-readwrite"
        )

    assert renewed.lease.duration > 0
    assert status == 404  # there is no lease


async def test_the_service_cannot_reach_past_its_policy(server, run, tmp_path):
    """Its own token opens no tenant's path, no purge, no new transit key, no policy."""
    await run()
    config = replace(_config(server), auth=await _login(server, tmp_path))
    await server.request("POST", "secret/data/tenants/acme/a", {"data": {"k": "v"}})
    await server.request("POST", "secret/data/greenlang/a", {"data": {"k": "v"}})

    async with gs.SecretsService.open(config) as secrets:
        token = secrets.client.session.token.value.reveal()
        statuses = {
            (method, path): (await server.request(method, path, body, token))[0]
            for method, path, body in (
                ("GET", "secret/data/greenlang/a", None),  # the control: this it may
                ("GET", "secret/data/tenants/acme/a", None),
                ("DELETE", "secret/metadata/greenlang/a", None),
                ("POST", "transit/encrypt/data-encryption-key", {"plaintext": "YQ=="}),  # this too
                ("POST", "transit/encrypt/mistyped-key", {"plaintext": "YQ=="}),
                ("POST", "sys/policies/acl/tenant", {"policy": ""}),
                ("POST", "auth/token/create", {}),
            )
        }

    assert list(statuses.values()) == [200, 403, 403, 200, 403, 403, 403]


async def test_a_tenant_token_opens_its_own_prefix_only(server, run):
    """Its own secrets answer 200, another tenant's and the platform's 403, there or not."""
    await run()
    for owner in ("tenants/acme", "tenants/acme-2", "tenants/globex", "greenlang"):
        await server.request("POST", f"secret/data/{owner}/a", {"data": {"k": "v"}})
    _, answer = await server.request(
        "POST", "auth/token/create/tenant", {"entity_alias": "acme", "policies": ["tenant"]}
    )
    token = answer["auth"]["client_token"]

    async def status(method: str, path: str, body: Any = None) -> int:
        return (await server.request(method, path, body, token))[0]

    assert await status("GET", "secret/data/tenants/acme/a") == 200
    assert await status("LIST", "secret/metadata/tenants/acme/") == 200
    assert await status("DELETE", "secret/metadata/tenants/acme/a") == 403
    for foreign in ("tenants/acme-2", "tenants/globex", "greenlang"):
        assert await status("GET", f"secret/data/{foreign}/a") == 403
        assert await status("GET", f"secret/data/{foreign}/missing") == 403
        assert await status("LIST", f"secret/metadata/{foreign}/") == 403
        assert await status("POST", f"secret/data/{foreign}/a", {"data": {}}) == 403
        assert await status("POST", f"secret/destroy/{foreign}/a", {"versions": [1]}) == 403


async def test_certificates_are_issued_under_the_intermediate(server, run):
    """A service's certificate comes with its whole chain; a foreign name is refused."""
    await run()

    good, issued = await server.request(
        "POST", "pki_int/issue/greenlang-services", {"common_name": "api.greenlang.internal"}
    )
    bad, _ = await server.request(
        "POST", "pki_int/issue/greenlang-services", {"common_name": "evil.example"}
    )

    assert (good, bad) == (200, 400)
    assert len(issued["data"]["ca_chain"]) == 2


async def test_database_credentials_live_and_end_with_their_lease(server, run, postgres_server):
    """A dynamic user reads, a read-only one cannot write, and revocation ends its session."""
    await run(Desired(postgres_url=gs.SecretValue(postgres_server.url)))
    admin = await asyncpg.connect(postgres_server.url)
    await admin.execute("CREATE TABLE IF NOT EXISTS public.things (n int)")
    _, reader = await server.request("GET", "database/creds/greenlang-readonly")
    _, writer = await server.request("GET", "database/creds/greenlang-readwrite")

    async def connect(lease: Any) -> Any:
        return await asyncpg.connect(
            host=postgres_server.host,
            port=postgres_server.port,
            user=lease["data"]["username"],
            password=lease["data"]["password"],
            database="postgres",
        )

    reading, writing = await connect(reader), await connect(writer)
    await writing.execute("INSERT INTO public.things VALUES (1)")
    assert await reading.fetchval("SELECT count(*) FROM public.things") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reading.execute("INSERT INTO public.things VALUES (2)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reading.fetchval("SELECT count(*) FROM pg_authid")

    for lease in (reader, writer):
        status, _ = await server.request(
            "PUT", "sys/leases/revoke", {"lease_id": lease["lease_id"], "sync": True}
        )
        assert status == 204

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await reading.fetchval("SELECT 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await connect(writer)
    await admin.execute("DROP TABLE public.things")
    await admin.close()


async def test_a_wrong_postgres_password_is_said_without_naming_it(server, run, postgres_server):
    """Vault's refusal of the connection carries advice and neither password nor host."""
    url = postgres_server.url.replace(postgres_server.password, "wrong-password")

    with pytest.raises(gs.VaultRefused, match="PostgreSQL connection") as caught:
        await run(Desired(postgres_url=gs.SecretValue(url)))

    assert "wrong-password" not in str(caught.value)
    assert postgres_server.host not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://host/db", "postgresql://u:p@h:notaport/db", "x"])
async def test_an_incomplete_postgres_url_is_refused(run, url):
    """A URL without user, password or host is a configuration error."""
    with pytest.raises(gs.ConfigurationError, match="PostgreSQL URL"):
        await run(Desired(postgres_url=gs.SecretValue(url)))


async def test_a_moved_postgres_is_followed(server, run, postgres_server):
    """A connection that points elsewhere is written anew, and nothing else."""
    desired = Desired(postgres_url=gs.SecretValue(postgres_server.url))
    await run(desired)
    await server.request(
        "POST",
        "database/config/postgresql",
        {
            "plugin_name": "postgresql-database-plugin",
            "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:1/postgres",
            "verify_connection": False,
        },
    )

    [change] = await run(desired)

    assert change.path == "database/config/postgresql"
    assert "connection_url" in change.settings
    status, _ = await server.request("GET", "database/creds/greenlang-readonly")
    assert status == 200
