from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import greenlang_secrets as gs
from support.canary import shown_in
from support.logins import log_in, refusal, with_locals


@dataclass(frozen=True)
class Issuer:
    """An issuer of JWTs whose public key the mount trusts."""

    key: ec.EllipticCurvePrivateKey
    file: Path

    @property
    def public_pem(self) -> str:
        return (
            self.key.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    def issue(self, **changes: Any) -> str:
        """Put a new JWT in the file."""
        now = int(time.time())
        claims = {"iss": "ci", "sub": "service", "aud": "vault", "iat": now, "exp": now + 300}
        text = jwt.encode(claims | changes, self.key, algorithm="ES256")
        self.file.write_text(text + "\n")
        return text


@pytest.fixture
def issuer(tmp_path) -> Issuer:
    issuer = Issuer(ec.generate_private_key(ec.SECP256R1()), tmp_path / "jwt")
    issuer.issue()
    return issuer


@pytest.fixture
async def auth(vault_server, enable, policy, issuer) -> gs.AuthConfig:
    mount = await enable(
        "jwt",
        config={
            "jwt_validation_pubkeys": [issuer.public_pem],
            "bound_issuer": "ci",
            "default_role": "fallback",
        },
    )
    for role, ttl in (("app", "30m"), ("fallback", "15m")):
        status, body = await vault_server.request(
            "POST",
            f"auth/{mount}/role/{role}",
            {
                "role_type": "jwt",
                "user_claim": "sub",
                "bound_audiences": ["vault"],
                "bound_subject": "service",
                "token_policies": [policy],
                "token_ttl": ttl,
            },
        )
        assert status in {200, 204}, body
    return gs.AuthConfig(method="jwt", mount=mount, role="app", jwt_file=issuer.file)


async def test_signed_jwt_gives_the_roles_token(config, auth, policy, looked_up):
    """A JWT with the bound claims gives a token of the role."""
    token = await log_in(config, auth)

    facts = await looked_up(token)
    assert set(facts["policies"]) == {"default", policy}
    assert facts["meta"] == {"role": "app"}
    assert token.ours
    assert token.term.duration == 1800


async def test_login_is_one_request(config, auth, vault_server, logins):
    """Nothing else is asked of the auth mount."""
    mark = await vault_server.audit_mark()

    await log_in(config, auth)

    assert await logins(mark, auth.mount) == [("update", f"auth/{auth.mount}/login")]


async def test_without_a_role_the_mounts_default_is_used(config, auth, looked_up):
    """The role is optional, as it is for Vault."""
    token = await log_in(config, replace(auth, role=None))

    assert (await looked_up(token))["meta"] == {"role": "fallback"}


async def test_service_reads_a_secret_with_it(config, auth):
    """The whole way: configuration, login, read."""
    async with gs.SecretsService.open(replace(config, auth=auth)) as secrets:
        assert (await secrets.get("x"))["k"].reveal() == "v"


async def test_new_jwt_in_the_file_is_used_at_the_next_login(config, auth, issuer):
    """An expired JWT is refused; its successor in the same file is taken."""
    issuer.issue(iat=1_000, exp=2_000)
    await refusal(config, auth)
    issuer.issue()

    assert (await log_in(config, auth)).ours


@pytest.mark.parametrize("claims", [{"sub": "another"}, {"aud": "another"}, {"iss": "another"}])
async def test_jwt_that_the_role_does_not_want_is_refused_and_not_shown(
    config, auth, issuer, claims
):
    """The error says what to look at, and shows the JWT in no traceback."""
    text = issuer.issue(**claims)

    error = await refusal(config, auth)

    assert "check GREENLANG_SECRETS_AUTH_ROLE, and the JWT's issuer" in str(error)
    assert shown_in(with_locals(error), text.rpartition(".")[2]) is None
