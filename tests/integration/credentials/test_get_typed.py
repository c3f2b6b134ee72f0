from __future__ import annotations

import asyncio
import secrets as random_values
import ssl
from urllib.parse import unquote, urlsplit

import asyncpg
import pytest

import greenlang_secrets as gs
from greenlang_secrets.access import Principal
from greenlang_secrets.vault.pki_roles import PkiRole
from support.mounts import mounted

AWKWARD = "p@ss:/w%o?r#d [ünïcode €] &+'\"\\%41"


# ---------------------------------------------------------------- by the declared type


async def test_type_decides_what_is_returned(secrets):
    """A secret comes as what it was declared as; one without a class of its own as itself."""
    await secrets.create("key", {"api_key": "k"}, type=gs.SecretType.API_KEY)
    await secrets.create("token", {"token": "t"}, type=gs.SecretType.SERVICE_TOKEN)
    await secrets.create("client", {"client_id": "c"}, type=gs.SecretType.OAUTH_CLIENT)

    key = await secrets.get_typed("key")
    token = await secrets.get_typed("token", gs.ServiceToken)
    client = await secrets.get_typed("client")

    assert isinstance(key, gs.ApiKey)
    assert (key.value.reveal(), key.path, key.version, key.stale) == ("k", "key", 1, False)
    assert token.value.reveal() == "t"
    assert client is await secrets.get("client")


async def test_a_held_secret_is_read_by_its_type_without_waiting(secrets):
    """`as_typed` gives of a handle's secret what `get_typed` gives, the same object, or its error."""
    await secrets.create("key", {"api_key": "k-1"}, type=gs.SecretType.API_KEY)
    async with await secrets.hold("key") as held:
        first = secrets.as_typed(held.current, gs.ApiKey)
        await secrets.put("key", {"api_key": "k-2"})
        second = secrets.as_typed(held.current, gs.ApiKey)

        assert second is await secrets.get_typed("key", gs.ApiKey)
        with pytest.raises(gs.SecretTypeMismatch):
            secrets.as_typed(held.current, gs.ServiceToken)
        with pytest.raises(gs.InvalidRequest):
            secrets.as_typed(held.current, gs.Secret)

    assert (first.value.reveal(), second.value.reveal()) == ("k-1", "k-2")


async def test_another_type_is_an_error_that_names_both(secrets):
    """Asked for by a class, a secret of another type is not guessed at."""
    await secrets.create("plain", {"api_key": "k"})

    with pytest.raises(gs.SecretTypeMismatch) as caught:
        await secrets.get_typed("plain", gs.ApiKey)

    assert (caught.value.declared, caught.value.expected) == ("generic", "api_key")
    assert caught.value.path == "plain"
    await secrets.put("plain", {"api_key": "k"}, type=gs.SecretType.API_KEY)
    assert (await secrets.get_typed("plain", gs.ApiKey)).value.reveal() == "k"


async def test_path_says_nothing_about_the_type(secrets):
    """`feedback` has a db in it and `concert` a cert; even a path that means it declares nothing."""
    for path in ("feedback", "concert", "database/postgresql", "api-keys/internal"):
        await secrets.create(path, {"username": "u", "password": "p", "api_key": "k"})

        assert (await secrets.get(path)).type is gs.SecretType.GENERIC
        assert await secrets.get_typed(path) is await secrets.get(path)


async def test_missing_field_is_named(secrets):
    """A secret that cannot be what it is declared as says what it lacks, each time."""
    await secrets.create("db", {"username": "u"}, type=gs.SecretType.DATABASE)

    for _ in range(2):
        with pytest.raises(gs.SecretIncomplete) as caught:
            await secrets.get_typed("db")
        assert (caught.value.field, caught.value.path) == ("password", "db")


async def test_it_is_made_once_for_each_version(secrets, vault_server):
    """A fresh read gives the same object without a request; a new version gives a new one."""
    await secrets.create("key", {"key": "1"}, type=gs.SecretType.API_KEY)
    first = await secrets.get_typed("key")
    mark = await vault_server.audit_mark()

    again = await secrets.get_typed("key", gs.ApiKey)

    assert again is first
    assert await vault_server.audit_requests(mark) == []
    await secrets.put("key", {"key": "2"})
    changed = await secrets.get_typed("key")
    assert (changed.value.reveal(), changed.version) == ("2", 2)


async def test_it_is_not_kept_longer_than_its_secret(secrets):
    """What was made of a secret goes with it: no value outlives the cache."""
    await secrets.create("key", {"key": "1"}, type=gs.SecretType.API_KEY)
    await secrets.create("plain", {"key": "1"})
    await secrets.get_typed("key")
    await secrets.get_typed("plain")
    assert len(secrets._core.typed) == 1

    secrets.cache.clear()

    assert len(secrets._core.typed) == 0


async def test_options_are_those_of_get(secrets, vault_server, mount):
    """A version can be pinned, a least one demanded, the age bounded, and Vault asked now."""
    await secrets.create("key", {"key": "1"}, type=gs.SecretType.API_KEY)
    await secrets.put("key", {"key": "2"})
    await secrets.get_typed("key")
    await vault_server.request("POST", f"{mount}/data/greenlang/key", {"data": {"key": "3"}})

    async def value(**options) -> str:
        return (await secrets.get_typed("key", gs.ApiKey, **options)).value.reveal()

    assert await value() == "2"
    assert await value(version=1) == "1"
    assert await value(max_age=30) == "2"
    assert await value(min_version=3) == "3"
    assert await value(fresh=True) == "3"
    with pytest.raises(gs.VersionNotFound):
        await value(min_version=4)


async def test_stale_secret_is_stale_credentials(new_vault_server):
    """While Vault is sealed the last value known is given, and says so."""
    server = await new_vault_server()
    await server.request("POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    while (await server.request("GET", "kv/config"))[0] != 200:
        await asyncio.sleep(0.01)
    config = gs.SecretsServiceConfig(
        addresses=(server.addr,),
        auth=gs.AuthConfig(token=gs.SecretValue(server.root_token)),
        cache=gs.CacheConfig(fresh_for=0.01),
        kv_mount="kv",
        tenant_token_role=None,
    )
    async with gs.SecretsService.open(config) as secrets:
        await secrets.create("key", {"key": "1"}, type=gs.SecretType.API_KEY)
        assert not (await secrets.get_typed("key", gs.ApiKey)).stale
        await server.seal()

        while not (key := await secrets.get_typed("key", gs.ApiKey)).stale:
            await asyncio.sleep(0.01)

        assert (key.value.reveal(), key.version) == ("1", 1)


async def test_permission_is_decided_before_anything_is_sent(secrets, vault_server):
    """Who may not read gets nothing, typed or not."""
    await secrets.for_tenant("acme").create("key", {"key": "1"}, type=gs.SecretType.API_KEY)
    principal = Principal(
        subject="ada", tenant=gs.TenantId("acme"), permissions=frozenset({gs.Permission.WRITE})
    )
    mark = await vault_server.audit_mark()

    with pytest.raises(gs.AccessDenied):
        await secrets.for_tenant("acme", principal=principal).get_typed("key")

    assert await vault_server.audit_requests(mark) == []


async def test_tenants_get_their_own(secrets):
    """The same relative path is another secret for each tenant, and another object."""
    for tenant in ("acme", "globex"):
        await secrets.for_tenant(tenant).create("key", {"key": tenant}, type=gs.SecretType.API_KEY)

    acme, globex = [
        await secrets.for_tenant(tenant).get_typed("key", gs.ApiKey)
        for tenant in ("acme", "globex")
    ]

    assert (acme.value.reveal(), globex.value.reveal()) == ("acme", "globex")


# ---------------------------------------------------------------- real logins


async def test_any_password_logs_in_to_postgresql(secrets, postgres_server):
    """A user, password and database full of what URLs are made of open a real PostgreSQL."""
    user = f"us@er:/{random_values.token_hex(4)}"
    database = f"my db/?%#{random_values.token_hex(4)}"
    admin = await asyncpg.connect(postgres_server.url)
    try:
        literal = AWKWARD.replace("'", "''").replace("\\", "\\\\")
        await admin.execute(f"""CREATE ROLE "{user}" LOGIN PASSWORD E'{literal}'""")
        await admin.execute(f"""CREATE DATABASE "{database}" OWNER "{user}" """)
        await secrets.create(
            "database/app",
            {
                "username": user,
                "password": AWKWARD,
                "host": postgres_server.host,
                "port": str(postgres_server.port),
                "database": database,
            },
            type=gs.SecretType.DATABASE,
        )
        credentials = await secrets.get_typed("database/app", gs.DatabaseCredentials)

        app = await asyncpg.connect(credentials.dsn().reveal())

        try:
            found = await app.fetchrow("SELECT current_user::text, current_database()::text")
        finally:
            await app.close()
        assert tuple(found) == (user, database)
        # The control: put together as everybody does at first, it names another host.
        naive = f"postgresql://{user}:{AWKWARD}@{postgres_server.host}:{postgres_server.port}/x"
        with pytest.raises((OSError, ValueError, asyncpg.PostgresError)):
            await asyncpg.connect(naive)
    finally:
        await admin.execute(f'DROP DATABASE IF EXISTS "{database}"')
        await admin.execute(f'DROP ROLE IF EXISTS "{user}"')
        await admin.close()


async def test_any_password_logs_in_to_valkey(secrets, valkey_server):
    """A URL of credentials, read as clients read it, opens a real Valkey and its database 3."""
    user = f"us@er:/{random_values.token_hex(4)}"
    await spoken(
        valkey_server.port,
        ["AUTH", valkey_server.password],
        ["ACL", "SETUSER", user, "on", f">{AWKWARD}", "+@all", "~*"],
    )
    await secrets.create(
        "cache",
        {
            "host": "127.0.0.1",
            "port": str(valkey_server.port),
            "username": user,
            "password": AWKWARD,
            "db": "3",
        },
        type=gs.SecretType.CACHE,
    )
    credentials = await secrets.get_typed("cache", gs.RedisCredentials)

    url = urlsplit(credentials.url().reveal())

    answers = await spoken(
        url.port or 0,
        ["AUTH", unquote(url.username or ""), unquote(url.password or "")],
        ["SELECT", url.path.strip("/")],
        ["PING"],
    )
    assert answers == ["+OK", "+OK", "+PONG"]


async def spoken(port: int, *commands: list[str]) -> list[str]:
    """Send commands to a Valkey, in its own protocol; return the first line of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        answers = []
        for command in commands:
            parts = [part.encode() for part in command]
            writer.write(b"*%d\r\n" % len(parts))
            writer.writelines(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
            answers.append((await reader.readline()).decode().strip())
        return answers
    finally:
        writer.close()
        await writer.wait_closed()


# ---------------------------------------------------------------- certificates


@pytest.fixture
async def pki(vault_server, client):
    """A PKI mount with a root, an intermediate below it, and the role ``mtls``."""
    async with (
        mounted(vault_server, "pki", config={"max_lease_ttl": "8760h"}) as root,
        mounted(vault_server, "pki", config={"max_lease_ttl": "8760h"}) as below,
    ):
        ask = vault_server.request
        _, _ = await ask("POST", f"{root}/root/generate/internal", {"common_name": "root"})
        _, made = await ask(
            "POST", f"{below}/intermediate/generate/internal", {"common_name": "below"}
        )
        _, signed = await ask(
            "POST",
            f"{root}/root/sign-intermediate",
            {"common_name": "below", "csr": made["data"]["csr"], "ttl": "1000h"},
        )
        chain = f"{signed['data']['certificate']}\n{signed['data']['issuing_ca']}"
        status, _ = await ask("POST", f"{below}/intermediate/set-signed", {"certificate": chain})
        assert status == 200
        role = PkiRole(
            allowed_domains=("example.com", "localhost"),
            allow_subdomains=True,
            allow_bare_domains=True,
            max_ttl=86400.0,
        )
        await client.pki(mount=below).roles.write("mtls", role)
        yield below


async def greeted(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[str, str]:
    """Connect over loopback; return who the client says the server is, and the other way."""
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(str(writer.get_extra_info("peercert")))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname="localhost"
        )
        peer = str(writer.get_extra_info("peercert"))
        by_server = await seen
        writer.close()
        return peer, by_server


async def test_issued_certificates_speak_tls_with_each_other(secrets, pki):
    """Two certificates of the engine prove themselves to each other, over a real connection."""
    server = await secrets.certificate("mtls", common_name="localhost", mount=pki)
    client = await secrets.certificate(
        "mtls", common_name="client.example.com", alt_names=("other.example.com",), mount=pki
    )
    demanding = await asyncio.to_thread(server.ssl_context, verify_client=True)
    proving = await asyncio.to_thread(client.ssl_context, ssl.Purpose.SERVER_AUTH)

    by_client, by_server = await greeted(demanding, proving)

    assert "localhost" in by_client
    assert "client.example.com" in by_server
    assert "other.example.com" in by_server


async def test_issued_certificate_says_when_it_ends(secrets, pki):
    """The end is the certificate's own, which a role may have brought forward."""
    certificate = await secrets.certificate("mtls", common_name="localhost", ttl=3600.0, mount=pki)

    from greenlang_secrets.credentials.certificate_dates import not_after_of

    assert certificate.not_after == not_after_of(certificate.certificate)
    assert (certificate.path, certificate.version) == (None, None)
    assert len(certificate.chain) == 2
    with pytest.raises(gs.ObjectNotFound):
        await secrets.certificate("none", common_name="localhost", mount=pki)


async def test_issued_certificates_are_counted(secrets, pki):
    """What was asked of the engine is an operation as others are, with its own type."""
    await secrets.certificate("mtls", common_name="localhost", mount=pki)
    with pytest.raises(gs.VaultRefused):
        await secrets.certificate("mtls", common_name="elsewhere.org", mount=pki)

    assert secrets.tally.operations["issue", "certificate", "ok"] == 1
    assert secrets.tally.operations["issue", "certificate", "error"] == 1


async def test_stored_certificate_is_read_from_its_fields(secrets, pki):
    """Written as one secret and read back, it serves as well as when it was issued."""
    issued = await secrets.certificate("mtls", common_name="localhost", mount=pki)
    await secrets.create(
        "tls/api",
        {
            "certificate": issued.certificate,
            "private_key": issued.private_key.reveal(),
            "ca_chain": "\n".join(issued.chain),
        },
        type=gs.SecretType.CERTIFICATE,
    )

    stored = await secrets.get_typed("tls/api", gs.TlsCertificate)
    server = await asyncio.to_thread(stored.ssl_context)
    client = ssl.create_default_context(cadata=issued.chain[-1])
    by_client, _ = await greeted(server, client)

    assert "localhost" in by_client
    assert stored.not_after == issued.not_after
    assert stored.chain == issued.chain
