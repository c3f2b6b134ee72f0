from __future__ import annotations

from dataclasses import replace

import pytest

import greenlang_secrets as gs
from support.canary import new_canary, shown_in
from support.logins import log_in, refusal, with_locals


@pytest.fixture
async def auth(vault_server, enable, policy, tmp_path) -> gs.AuthConfig:
    mount = await enable("userpass")
    await vault_server.request(
        "POST",
        f"auth/{mount}/users/service",
        {"password": "grün und blau", "token_policies": [policy], "token_ttl": "30m"},
    )
    file = tmp_path / "password"
    file.write_text("grün und blau\n", encoding="utf-8")
    return gs.AuthConfig(method="userpass", mount=mount, username="service", password_file=file)


async def test_login_gives_the_users_token(config, auth, policy, looked_up):
    """A name and a password, white space and non-ASCII in it, give a token of ours."""
    token = await log_in(config, auth)

    facts = await looked_up(token)
    assert set(facts["policies"]) == {"default", policy}
    assert facts["meta"] == {"username": "service"}
    assert token.accessor == facts["accessor"]
    assert token.ours
    assert token.term.duration == 1800


async def test_login_is_one_request(config, auth, vault_server, logins):
    """Nothing else is asked of the auth mount."""
    mark = await vault_server.audit_mark()

    await log_in(config, auth)

    assert await logins(mark, auth.mount) == [("update", f"auth/{auth.mount}/login/service")]


async def test_service_reads_a_secret_with_it(config, auth):
    """The whole way: configuration, login, read."""
    async with gs.SecretsService.open(replace(config, auth=auth)) as secrets:
        assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_wrong_password_is_refused_and_not_shown(config, auth):
    """The error says what to look at, and shows the password in no traceback."""
    password = new_canary()
    auth.password_file.write_text(password, encoding="utf-8")

    error = await refusal(config, auth)

    assert str(error) == (
        "Vault does not accept this service's login; check GREENLANG_SECRETS_AUTH_USERNAME "
        "and the password."
    )
    assert shown_in(with_locals(error), password) is None


async def test_new_password_in_the_file_is_used_at_the_next_login(config, auth, vault_server):
    """The file is read anew at each login."""
    await vault_server.request(
        "POST", f"auth/{auth.mount}/users/service/password", {"password": "changed"}
    )
    await refusal(config, auth)
    auth.password_file.write_text("changed")

    assert (await log_in(config, auth)).ours


async def test_mount_that_is_not_there_is_named_as_a_cause(config, auth):
    """OpenBao 2.7.2 answers 403 where there is no such mount, so the text names the mount."""
    error = await refusal(config, replace(auth, mount="not-there"))

    assert "GREENLANG_SECRETS_AUTH_MOUNT" in str(error)


async def test_mount_of_another_kind_is_named_as_a_cause(config, auth, enable):
    """The same for a mount of another auth method."""
    approle = await enable("approle")

    error = await refusal(config, replace(auth, mount=approle))

    assert "GREENLANG_SECRETS_AUTH_MOUNT" in str(error)


async def test_namespace_that_is_not_there_is_named_as_a_cause(config, auth):
    """A namespace that does not exist answers 404, which is about mount and namespace."""
    error = await refusal(replace(config, namespace="not-there"), auth)

    assert str(error) == (
        "Vault has no such auth method at the mount; check GREENLANG_SECRETS_AUTH_MOUNT and "
        "VAULT_NAMESPACE."
    )


async def test_login_that_wants_a_second_factor_is_told(config, auth, vault_server):
    """A login under MFA is answered with 200 and no token; the error says what to change."""
    _, mounts = await vault_server.request("GET", "sys/auth")
    accessor = mounts["data"][f"{auth.mount}/"]["accessor"]
    _, method = await vault_server.request(
        "POST", "identity/mfa/method/totp", {"issuer": "test", "key_size": 20}
    )
    enforcement = f"identity/mfa/login-enforcement/{auth.mount}"
    status, _ = await vault_server.request(
        "POST",
        enforcement,
        {
            "mfa_method_ids": [method["data"]["method_id"]],
            "auth_method_accessors": [accessor],
        },
    )
    assert status == 204

    error = await refusal(config, auth)

    await vault_server.request("DELETE", enforcement)
    assert str(error).startswith("Vault asks for a second factor")
