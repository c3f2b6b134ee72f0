"""The development issuer: what it signs, what it refuses, and where its key lies."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import jwt
import pytest

from greenlang_secrets.access import Permission, Principal
from greenlang_secrets.development.issuer import AUDIENCE, ISSUER, DevelopmentIssuer
from greenlang_secrets.errors import ConfigurationError, InvalidRequest, InvalidTenant
from greenlang_secrets.paths import TenantId
from greenlang_secrets.sensitive import SecretValue
from greenlang_secrets_api.auth import Authenticator
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.key_sources import FileKeys


@pytest.fixture
def issuer(tmp_path: Path) -> DevelopmentIssuer:
    return DevelopmentIssuer.make(tmp_path / "dev")


async def accepted(issuer: DevelopmentIssuer, token: SecretValue) -> Principal:
    """Return whom the API takes the bearer's sender for."""
    keys = FileKeys(issuer.jwks_file)
    await keys.open()
    config = ApiConfig(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwks_file=issuer.jwks_file)
    header = (b"authorization", b"Bearer " + token.reveal().encode())
    return await Authenticator(config, keys).authenticate([header])


def claims(token: SecretValue) -> dict[str, object]:
    return dict(jwt.decode(token.reveal(), options={"verify_signature": False}))


async def test_a_tenants_bearer_is_accepted_by_the_api(issuer):
    """The API takes the sender for that tenant's principal with exactly those permissions."""
    token = issuer.issue("ann", tenant="acme", permissions=[Permission.READ, Permission.WRITE])

    assert await accepted(issuer, token) == Principal(
        subject="ann",
        tenant=TenantId("acme"),
        permissions=frozenset({Permission.READ, Permission.WRITE}),
    )


async def test_a_platform_bearer_is_accepted_by_the_api(issuer):
    """The API takes the sender for a platform principal."""
    token = issuer.issue("ops", platform=True, permissions=[Permission.ADMIN])

    assert await accepted(issuer, token) == Principal(
        subject="ops", permissions=frozenset({Permission.ADMIN})
    )


def test_the_header_says_what_it_is(issuer):
    """A bearer is an ES256 access token that names its key."""
    header = jwt.get_unverified_header(issuer.issue("ann", tenant="acme").reveal())

    assert header == {"alg": "ES256", "typ": "at+jwt", "kid": issuer.jwks()["keys"][0]["kid"]}


def test_the_claims_of_a_tenant_name_no_platform(issuer):
    """A tenant's bearer has `tenant_id` and not `platform`, and lives an hour."""
    now = time.time()

    made = claims(issuer.issue("ann", tenant="acme", permissions=[Permission.READ]))

    assert made.pop("iat") == pytest.approx(now, abs=2)
    assert made.pop("exp") == pytest.approx(now + 3600, abs=2)
    assert len(made.pop("jti")) == 32
    assert made == {
        "iss": "https://issuer.greenlang.invalid",
        "aud": "greenlang-secrets",
        "sub": "ann",
        "tenant_id": "acme",
        "permissions": ["secrets:read"],
    }


def test_a_shorter_life_is_kept(issuer):
    """`ttl` is the time between `iat` and `exp`."""
    made = claims(issuer.issue("ann", platform=True, ttl=90))

    assert made["exp"] - made["iat"] == 90


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"tenant": "acme", "platform": True},
        {"tenant": "acme", "ttl": 3601},
        {"tenant": "acme", "ttl": 0},
        {"tenant": "acme", "ttl": float("nan")},
        {"tenant": "acme", "subject": ""},
        {"tenant": "acme", "subject": "x" * 257},
    ],
)
def test_what_the_api_would_refuse_is_not_signed(issuer, wrong):
    """A bearer of nobody, of both kinds, too long-lived or without a subject is refused."""
    with pytest.raises(InvalidRequest):
        issuer.issue(wrong.pop("subject", "ann"), **wrong)


def test_a_tenant_outside_the_grammar_is_refused(issuer):
    """A tenant's id is parsed."""
    with pytest.raises(InvalidTenant):
        issuer.issue("ann", tenant="Acme/../x")


def test_the_key_is_made_once(tmp_path):
    """A second start, and another process, sign with the same key."""
    first = DevelopmentIssuer.make(tmp_path)

    second, loaded = DevelopmentIssuer.make(tmp_path), DevelopmentIssuer.load(tmp_path)

    assert first.jwks() == second.jwks() == loaded.jwks()


def test_only_the_owner_reads_the_key(tmp_path):
    """The folder is 0700, the key 0600, and nothing else is left there."""
    DevelopmentIssuer.make(tmp_path / "dev")

    assert stat.S_IMODE((tmp_path / "dev").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "dev" / "issuer.key").stat().st_mode) == 0o600
    assert sorted(file.name for file in (tmp_path / "dev").iterdir()) == [
        "issuer.key",
        "jwks.json",
    ]


def test_the_jwks_holds_no_private_part(issuer):
    """The document has the members of a public EC key and no other."""
    [key] = issuer.jwks()["keys"]

    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


@pytest.mark.parametrize("content", [None, "", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_missing_or_broken_key_is_said(tmp_path, content):
    """Without a readable key the error names the folder and what to do."""
    if content is not None:
        (tmp_path / "issuer.key").write_text(content)

    with pytest.raises(ConfigurationError, match="greenlang-secrets dev"):
        DevelopmentIssuer.load(tmp_path)
