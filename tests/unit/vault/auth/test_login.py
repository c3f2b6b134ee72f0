from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greenlang_secrets.config import AuthConfig, SecretsServiceConfig
from greenlang_secrets.errors import (
    AuthenticationLost,
    ConfigurationError,
    VaultProtocolError,
    VaultUnavailable,
)
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth import TokenAuth, auth_method
from greenlang_secrets.vault.auth.approle import AppRoleAuth
from support.canary import shown_in
from support.logins import with_locals
from support.scripted import DROP, Scripted, answer, scripted

# Played by a script: one answer of each kind, to every method. The real server has its say in
# tests/integration/vault/auth.
GOOD = {"auth": {"client_token": "hvs.t", "accessor": "a", "lease_duration": 90}}
SECRET = "q7Zk0mWv3xTt9RbL5nYc8HsD"

METHODS = {
    "approle": {"role": "r", "secret_id_file": "FILE"},
    "kubernetes": {"role": "r", "jwt_file": "FILE"},
    "jwt": {"role": "r", "jwt_file": "FILE"},
    "cert": {"role": "r"},
    "userpass": {"username": "u", "password_file": "FILE"},
}
"""Those that are one POST of what a file holds; token and aws have their own tests."""

BODIES = {
    "approle": {"role_id": "r", "secret_id": SECRET},
    "kubernetes": {"role": "r", "jwt": SECRET},
    "jwt": {"role": "r", "jwt": SECRET},
    "cert": {"name": "r"},
    "userpass": {"password": SECRET},
}


@pytest.fixture(params=METHODS)
def auth(request, tmp_path) -> AuthConfig:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    settings: dict[str, Any] = {
        name: file if value == "FILE" else value for name, value in METHODS[request.param].items()
    }
    return AuthConfig(method=request.param, **settings)


async def log_in(vault: Scripted, auth: AuthConfig):
    # Without the configuration's own check: the certificate needs TLS, the script has none.
    config = SecretsServiceConfig(addresses=(vault.addr,), request_timeout=1.0)
    async with Transport(config) as transport:
        return await auth_method(auth).login(transport)


async def test_login_is_one_request_to_the_methods_own_mount(auth):
    """Each method posts its credential once, to the mount of its own name."""
    async with scripted(answer(200, json.dumps(GOOD).encode())) as vault:
        token = await log_in(vault, auth)

    user = "/u" if auth.method == "userpass" else ""
    assert vault.requests == [f"POST /v1/auth/{auth.method}/login{user}"]
    assert json.loads(vault.bodies[0]) == BODIES[auth.method]
    assert "x-vault-token" not in vault.heads[0].lower()
    assert token.value.reveal() == "hvs.t"
    assert token.term.duration == 90


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_refused_login_is_authentication_lost(auth, status):
    """A refusal is of one kind, names what to look at, and shows no secret and nothing of Vault's."""
    refused = answer(status, b'{"errors": ["in the words of Vault"]}')
    async with scripted(refused) as vault:
        with pytest.raises(AuthenticationLost) as caught:
            await log_in(vault, auth)

    assert len(vault.requests) == 1
    assert ("GREENLANG_SECRETS_AUTH_MOUNT" in str(caught.value)) == (status in {403, 404})
    assert "words of Vault" not in with_locals(caught.value)
    assert shown_in(with_locals(caught.value), SECRET) is None


@pytest.mark.parametrize("outage", [answer(503), answer(429), DROP], ids=["503", "429", "drop"])
async def test_unavailable_vault_passes_through(auth, outage):
    """That Vault is away says nothing about the credentials."""
    async with scripted(outage) as vault:
        with pytest.raises(VaultUnavailable) as caught:
            await log_in(vault, auth)

    assert shown_in(with_locals(caught.value), SECRET) is None


async def test_login_whose_answer_was_lost_is_repeated(auth):
    """A second login costs one more token, which dies by its TTL."""
    async with scripted(DROP, answer(200, json.dumps(GOOD).encode())) as vault:
        token = await log_in(vault, auth)

    assert token.value.reveal() == "hvs.t"
    assert len(vault.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"auth": None},
        {"auth": {}},
        {"auth": {"client_token": "", "lease_duration": 90}},
        {"auth": {"client_token": 1, "lease_duration": 90}},
        {"auth": {"client_token": SECRET}},
        {"auth": {"client_token": SECRET, "lease_duration": "90"}},
    ],
)
async def test_answer_without_a_token_is_none_of_vaults(auth, body):
    """Whatever answers so is not Vault."""
    async with scripted(answer(200, json.dumps(body).encode())) as vault:
        with pytest.raises(VaultProtocolError):
            await log_in(vault, auth)


def test_secret_in_a_local_variable_would_be_found():
    """The control: a login that revealed too early fails the tests above."""
    leaking: dict[str, Any] = {}
    code = "def login(secret):\n    body = {'jwt': secret}\n    raise AuthenticationLost"
    exec(compile(code, "elsewhere.py", "exec"), globals(), leaking)  # noqa: S102  a frame that is no test's

    with pytest.raises(AuthenticationLost) as caught:
        leaking["login"](SECRET)

    assert shown_in(with_locals(caught.value), SECRET) == "raw"


# ---------------------------------------------------------------- what is refused before


@pytest.mark.parametrize("mount", ["auth/", "/approle", "a//b", "a b", "../sys", "a%2Fb", ""])
def test_mount_outside_the_grammar_is_refused(mount):
    """A mount goes into a URL, so it is checked; the text names the setting and the fix."""
    with pytest.raises(ConfigurationError) as caught:
        AppRoleAuth(role_id="r", mount=mount)

    assert str(caught.value) == (
        f"GREENLANG_SECRETS_AUTH_MOUNT is {mount!r}; use the name of an auth mount without "
        "'auth/': letters, digits, '_' and '-', segments separated by '/'."
    )


@pytest.mark.parametrize("username", ["a/b", "a b", "..", "a@example.org", "ü"])
def test_username_outside_the_grammar_is_refused(username):
    """So does the name of a user."""
    auth = AuthConfig(method="userpass", username=username, password_file=Path("/p"))

    with pytest.raises(ConfigurationError) as caught:
        auth_method(auth)

    assert str(caught.value).startswith(f"GREENLANG_SECRETS_AUTH_USERNAME is {username!r}; use")


@pytest.mark.parametrize(
    "auth",
    [
        AuthConfig(method="approle"),
        AuthConfig(method="kubernetes"),
        AuthConfig(method="jwt", role="r"),
        AuthConfig(method="userpass", username="u"),
        AuthConfig(method="userpass", password_file=Path("/p")),
    ],
)
def test_configuration_that_lacks_an_attribute_is_refused(auth):
    """Who makes an AuthConfig by hand learns that it is incomplete."""
    with pytest.raises(ConfigurationError) as caught:
        auth_method(auth)

    assert str(caught.value) == (
        f"The auth method {auth.method} lacks an attribute of AuthConfig that it needs."
    )


def test_plain_and_wrapped_secret_id_exclude_each_other():
    """A role has one secret id."""
    with pytest.raises(ConfigurationError, match="not both"):
        AppRoleAuth(
            role_id="r", secret_id_file=Path("/plain"), wrapped_secret_id_file=Path("/wrapped")
        )


def test_token_comes_as_a_value_or_in_a_file():
    """Neither and both are refused."""
    with pytest.raises(ConfigurationError, match="a token or a file"):
        TokenAuth()


async def test_only_a_token_sink_changes(auth):
    """A new secret id or JWT does not make the token made with the old one worse."""
    assert not await auth_method(auth).changed()
