"""The auth method aws, against a recorded verifier: OpenBao 2.7.2 has no such plugin built in
("plugin not found in the catalog: aws"), and there is no AWS here to confirm an identity.

The verifier does what Vault's mount does before it asks AWS (server id among the signed
headers, the allowed action), and what AWS does then (the signature). What it cannot show:
that a real mount takes the request, and that a real STS knows the keys.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

import greenlang_secrets as gs
from greenlang_secrets.transport import Transport
from greenlang_secrets.vault.auth import auth_method
from support.aws import Caller, assumed, given_token
from support.canary import shown_in
from support.logins import log_in, refusal, with_locals
from support.stub import Asked, Stub, stub

KEY_ID = "AKIDEXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SERVER_ID = "vault.example.org"


class Verifier:
    """The mount and AWS in one: it knows the keys by their ids."""

    def __init__(self) -> None:
        self.keys = {KEY_ID: SECRET_KEY}
        self.logins: list[tuple[str, dict[str, str]]] = []

    def __call__(self, asked: Asked) -> tuple[int, str, bytes]:
        login = json.loads(asked.body)
        self.logins.append((asked.path, login))
        good = self.accepts(Caller.of(login))
        status, body = (200, given_token()) if good else (400, {"errors": ["refused"]})
        return status, "application/json", json.dumps(body).encode()

    def accepts(self, caller: Caller) -> bool:
        secret_key = self.keys.get(caller.authorization["key_id"], "")
        return (
            caller.method == "POST"
            and parse_qs(caller.body)["Action"] == ["GetCallerIdentity"]
            and "x-vault-aws-iam-server-id" in caller.signed_headers
            and caller.header("X-Vault-AWS-IAM-Server-ID") == SERVER_ID
            and caller.is_signed_with(secret_key)
        )

    @property
    def caller(self) -> Caller:
        """The request inside the last login."""
        return Caller.of(self.logins[-1][1])


@pytest.fixture
def verifier() -> Verifier:
    return Verifier()


@pytest.fixture
def vault(verifier) -> Iterator[Stub]:
    with stub(verifier) as server:
        yield server


@pytest.fixture
def config(vault) -> gs.SecretsServiceConfig:
    return gs.SecretsServiceConfig(addresses=(vault.addr,), tenant_token_role=None)


@pytest.fixture
def auth() -> gs.AuthConfig:
    return gs.AuthConfig(method="aws", role="app", aws_server_id=SERVER_ID)


@pytest.fixture(autouse=True)
def _no_aws_of_this_machine(monkeypatch, tmp_path) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


async def test_signed_identity_gives_a_token(config, auth, verifier):
    """The login carries a signed GetCallerIdentity, for the role, in one request."""
    token = await log_in(config, auth)

    [(path, login)] = verifier.logins
    assert path == "/v1/auth/aws/login"
    assert login["role"] == "app"
    assert set(login) == {
        "role",
        "iam_http_request_method",
        "iam_request_url",
        "iam_request_body",
        "iam_request_headers",
    }
    assert token.value == gs.SecretValue("hvs.aws")
    assert token.ours


async def test_role_is_optional(config, auth, verifier):
    """Without a role Vault takes the one named like the principal."""
    await log_in(config, replace(auth, role=None))

    assert "role" not in verifier.logins[0][1]


@pytest.mark.parametrize(
    ("region", "url", "scope"),
    [
        (None, "https://sts.amazonaws.com/", "us-east-1"),
        ("us-east-1", "https://sts.us-east-1.amazonaws.com/", "us-east-1"),
        ("eu-central-1", "https://sts.eu-central-1.amazonaws.com/", "eu-central-1"),
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/", "cn-north-1"),
    ],
)
async def test_region_decides_which_sts_it_is_signed_for(  # noqa: PLR0917  fixtures are asked for by name
    config, auth, verifier, region, url, scope
):
    """The global STS by default, as a mount without `sts_region` asks."""
    await log_in(config, replace(auth, aws_region=region))

    assert verifier.caller.url == url
    assert verifier.caller.scope[1:] == [scope, "sts", "aws4_request"]


async def test_region_that_does_not_exist_is_refused(config, auth, verifier):
    """A wrong region is a wrong setting; no request leaves."""
    with pytest.raises(gs.ConfigurationError) as caught:
        await log_in(config, replace(auth, aws_region="example.org/#"))

    assert str(caught.value) == (
        "GREENLANG_SECRETS_AUTH_AWS_REGION is 'example.org/#'; use the name of an AWS region, "
        "such as eu-central-1."
    )
    assert verifier.logins == []


@pytest.mark.parametrize("server_id", [None, "vault.elsewhere.org"])
async def test_login_for_another_vault_is_refused(config, auth, server_id):
    """The control of the verifier: without the right signed server id it says no."""
    error = await refusal(config, replace(auth, aws_server_id=server_id))

    assert "GREENLANG_SECRETS_AUTH_AWS_SERVER_ID" in str(error)


async def test_wrong_key_is_refused_and_nothing_signed_is_shown(
    config, auth, verifier, monkeypatch
):
    """Neither the key nor the signature, which logs in for 15 minutes, is in a traceback."""
    wrong = "0" * 4 + SECRET_KEY[4:]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", wrong)

    error = await refusal(config, auth)

    shown = with_locals(error)
    assert shown_in(shown, wrong) is None
    assert shown_in(shown, verifier.caller.authorization["signature"]) is None
    assert shown_in(shown, verifier.logins[0][1]["iam_request_headers"]) is None


async def test_each_login_is_signed_anew(config, auth, verifier, monkeypatch):
    """AWS takes a signature for 15 minutes, and keys may have been replaced since."""
    await log_in(config, auth)
    verifier.keys = {"AKIDNEW": "another"}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDNEW")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")

    assert (await log_in(config, auth)).ours


async def test_irsa_web_identity_is_exchanged_and_signs(
    config, auth, verifier, monkeypatch, tmp_path
):
    """In EKS the pod's projected token becomes keys (STS stubbed), whose session token is signed
    along; the keys are kept for the next login.
    """
    projected = tmp_path / "web-identity"
    projected.write_text("projected-token")
    expires = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    verifier.keys = {"ASIAWEB": "web-secret"}
    with stub(
        lambda _: (200, "text/xml", assumed("ASIAWEB", "web-secret", "web-session", expires))
    ) as sts:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/service")
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(projected))
        monkeypatch.setenv("AWS_REGION", "eu-central-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.addr)
        method = auth_method(auth)
        async with Transport(config) as transport:
            await method.login(transport)
            token = await method.login(transport)

    assert token.ours
    assert verifier.caller.header("X-Amz-Security-Token") == "web-session"
    assert "x-amz-security-token" in verifier.caller.signed_headers
    [exchange] = sts.asked
    assert parse_qs(exchange.body.decode())["WebIdentityToken"] == ["projected-token"]


async def test_without_credentials_it_is_told(config, auth, verifier, monkeypatch):
    """A process without an AWS identity learns so, and sends nothing."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    error = await refusal(config, auth)

    assert str(error).startswith("AWS gives this process no credentials to sign the login with")
    assert verifier.logins == []


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_PROFILE": "not-there"},
        {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/not/there"},
    ],
    ids="+".join,
)
async def test_credentials_that_cannot_be_had_are_told(config, auth, monkeypatch, environ):
    """What botocore raises is not relayed, and not chained: its texts name accounts and files."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    error = await refusal(config, auth)

    assert str(error).startswith("AWS gives this process no credentials to sign the login with")
    assert error.__cause__ is None
    assert error.__context__ is None


async def test_without_botocore_the_extra_is_named(config, auth, monkeypatch):
    """The signer is an optional extra; who configures aws without it learns its name."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "botocore", None)

    with pytest.raises(gs.ConfigurationError) as caught:
        await log_in(config, auth)

    assert str(caught.value) == (
        "GREENLANG_SECRETS_AUTH_METHOD is 'aws', which signs with botocore, and that is not "
        "installed: pip install 'greenlang-secrets[aws]'."
    )


def test_botocore_is_not_imported_before_it_is_needed():
    """Who logs in by other means does not pay for it, nor needs it."""
    import subprocess

    code = (
        "import sys, greenlang_secrets.vault.auth as a, greenlang_secrets.config as c;"
        "a.auth_method(c.AuthConfig(method='aws'));"
        "sys.exit('botocore' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
