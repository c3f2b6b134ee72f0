from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import greenlang_secrets as gs
from support.approle import AppRole, approle


@pytest.fixture
async def role(vault_server, mount, tmp_path) -> AppRole:
    policy = f'path "{mount}/*" {{ capabilities = ["create", "read", "update", "list"] }}'
    return await approle(vault_server, tmp_path, mount=f"auth-{mount}", policy=policy)


@pytest.fixture
def app_config(config, role):
    return replace(config, auth=role.auth)


async def seed(server, mount: str, *names: str) -> None:
    for name in names:
        await server.request("POST", f"{mount}/data/greenlang/{name}", {"data": {"k": name}})


async def test_service_logs_in_once_for_many_readers(app_config, role, vault_server, mount):
    """Opening makes one login, and 50 concurrent first reads make no other."""
    await seed(vault_server, mount, *(f"s{n}" for n in range(50)))
    mark = await vault_server.audit_mark()

    async with gs.SecretsService.open(app_config) as secrets:
        await asyncio.gather(*(secrets.get(f"s{n}") for n in range(50)))

        assert await role.logins(mark) == 1


async def test_revoked_token_is_invisible_to_200_concurrent_readers(
    app_config, role, vault_server, mount
):
    """After the token's revocation all of 200 reads succeed, with exactly one login."""
    names = [f"s{n}" for n in range(200)]
    await seed(vault_server, mount, *names)
    async with gs.SecretsService.open(app_config) as secrets:
        await secrets.get("s0", fresh=True)
        await role.revoke_tokens()
        mark = await vault_server.audit_mark()

        read = await asyncio.gather(*(secrets.get(name, fresh=True) for name in names))

        assert [secret["k"].reveal() for secret in read] == names
        assert await role.logins(mark) == 1


async def test_real_denial_costs_one_lookup_and_no_login(app_config, role, vault_server, mount):
    """A 403 by policy is told from a dead token: no login is made, and the read is denied."""
    async with gs.SecretsService.open(
        replace(app_config, kv_mount="cubbyhole-not-ours")
    ) as secrets:
        mark = await vault_server.audit_mark()

        with pytest.raises(gs.AccessDenied):
            await secrets.get("x")

        assert await role.logins(mark) == 0
        assert len(await vault_server.audit_requests(mark, "auth/token/lookup-self")) == 1


async def test_50_denials_at_once_share_their_lookups(app_config, role, vault_server):
    """Concurrent denials do not ask one by one whether the token lives."""
    async with gs.SecretsService.open(
        replace(app_config, kv_mount="cubbyhole-not-ours")
    ) as secrets:
        mark = await vault_server.audit_mark()

        answers = await asyncio.gather(
            *(secrets.get(f"x{n}") for n in range(50)), return_exceptions=True
        )

        assert {type(answer) for answer in answers} == {gs.AccessDenied}
        assert len(await vault_server.audit_requests(mark, "auth/token/lookup-self")) <= 10


async def test_wrong_secret_id_is_refused_at_opening(app_config, role):
    """Wrong credentials show at start-up, and the error says what to look at."""
    role.secret_id_file.write_text("not-the-secret-id")

    with pytest.raises(gs.AuthenticationLost) as caught:
        async with gs.SecretsService.open(app_config):
            pass

    assert "secret id" in str(caught.value)
    assert "not-the-secret-id" not in str(caught.value)


async def test_missing_secret_id_file_names_the_setting(app_config, role):
    """An empty or missing file is a configuration error with the setting's name."""
    role.secret_id_file.unlink()

    with pytest.raises(gs.ConfigurationError, match="GREENLANG_SECRETS_AUTH_SECRET_ID_FILE"):
        async with gs.SecretsService.open(app_config):
            pass


async def test_lost_login_is_not_hammered_and_cached_values_go_on(
    app_config, role, vault_server, mount
):
    """When the login itself is refused, held values are served stale, and Vault sees one login
    attempt and not one per read.
    """
    await seed(vault_server, mount, "held", "cold")
    cache = gs.CacheConfig(fresh_for=0, stale_for=60, denied_for=0)
    async with gs.SecretsService.open(replace(app_config, cache=cache)) as secrets:
        await secrets.get("held")
        role.secret_id_file.write_text("destroyed")
        await role.revoke_tokens()
        mark = await vault_server.audit_mark()

        stale = [await secrets.get("held") for _ in range(20)]
        with pytest.raises(gs.AuthenticationLost):
            await secrets.get("cold")

        assert all(secret.stale for secret in stale)
        assert await role.logins(mark) == 1


async def test_new_secret_id_in_the_file_is_used_at_the_next_login(
    app_config, role, vault_server, mount
):
    """The file is read anew at each login, so a replaced secret id needs no restart."""
    await seed(vault_server, mount, "x")
    async with gs.SecretsService.open(app_config) as secrets:
        _, body = await vault_server.request("POST", f"auth/{role.mount}/role/app/secret-id")
        role.secret_id_file.write_text(body["data"]["secret_id"])
        await role.revoke_tokens()

        assert (await secrets.get("x"))["k"].reveal() == "x"


async def test_token_is_revoked_at_close(app_config, role, vault_server):
    """A clean shutdown leaves no token of the service behind."""
    async with gs.SecretsService.open(app_config) as secrets:
        token = secrets.client.session.token.value.reveal()
        assert (await vault_server.request("GET", "auth/token/lookup-self", token=token))[0] == 200

    status, _ = await vault_server.request("GET", "auth/token/lookup-self", token=token)

    assert status == 403


async def test_given_token_is_not_revoked_at_close(config, vault_server):
    """A token that somebody else made is theirs to revoke."""
    async with gs.SecretsService.open(config):
        pass

    assert (await vault_server.request("GET", "auth/token/lookup-self"))[0] == 200


async def test_token_file_is_read_anew_after_the_token_died(config, vault_server, mount, tmp_path):
    """With VAULT_TOKEN_FILE a new token in the file is taken when the old one is dead."""
    await seed(vault_server, mount, "x", "y")

    async def new_token() -> str:
        _, body = await vault_server.request("POST", "auth/token/create", {"policies": ["root"]})
        return body["auth"]["client_token"]

    file = tmp_path / "token"
    first = await new_token()
    file.write_text(first)
    auth = gs.AuthConfig(token_file=file)
    async with gs.SecretsService.open(replace(config, auth=auth)) as secrets:
        await secrets.get("x")
        file.write_text(await new_token())
        await vault_server.request("POST", "auth/token/revoke", {"token": first})

        assert (await secrets.get("y"))["k"].reveal() == "y"


async def test_dead_given_token_is_told(config):
    """A token that Vault does not know is refused at opening."""
    auth = gs.AuthConfig(token=gs.SecretValue("hvs.unknown"))

    with pytest.raises(gs.AuthenticationLost):
        async with gs.SecretsService.open(replace(config, auth=auth)):
            pass
