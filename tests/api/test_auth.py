"""Bearers: what a good one grants, and every way to be refused, each beside a good one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from api.issuer import AUDIENCE, ISSUER, Issuer
from greenlang_secrets.access import Permission
from greenlang_secrets.paths import TenantId
from greenlang_secrets_api import auth
from greenlang_secrets_api.auth import Authenticator, principal_of
from greenlang_secrets_api.config import ApiConfig
from greenlang_secrets_api.jwks import JwksError, parse_jwks
from greenlang_secrets_api.key_sources import FileKeys
from greenlang_secrets_api.problems import ProblemError

Headers = list[tuple[bytes, bytes]]


def bearer(token: str) -> Headers:
    return [(b"authorization", b"Bearer " + token.encode())]


@pytest.fixture
async def authenticator(api_config: ApiConfig) -> Authenticator:
    assert api_config.jwks_file is not None
    keys = FileKeys(api_config.jwks_file)
    await keys.open()
    return Authenticator(api_config, keys)


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}.{b64(signature)}"


def signed_with_public_key(issuer: Issuer) -> str:
    """The classic forgery: the public key, which everybody has, as an HMAC secret."""
    text = forged({"alg": "HS256", "typ": "JWT", "kid": "rsa"}, issuer.claims()).rstrip(".")
    digest = hmac.new(issuer.public_pem(), text.encode(), hashlib.sha256).digest()
    return f"{text}.{b64(digest)}"


def twice(issuer: Issuer) -> str:
    """A signed payload that has a claim twice."""
    payload = json.dumps(issuer.claims())[:-1] + ', "tenant_id": "globex"}'
    return jwt.PyJWS().encode(
        payload.encode(), issuer.rsa, algorithm="RS256", headers={"kid": "rsa", "typ": "JWT"}
    )


def other_signature(issuer: Issuer) -> str:
    head, _, signature = issuer.sign(issuer.claims()).rpartition(".")
    return f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def now() -> int:
    """The time when it is asked for: from the import to the test it may be minutes."""
    return int(time.time())


REFUSED: dict[str, Callable[[Issuer], str]] = {
    "not a token": lambda _: "abc",
    "four parts": lambda i: i.sign(i.claims()) + ".x",
    "expired": lambda i: i.sign(i.claims(iat=now() - 700, exp=now() - 1)),
    "without exp": lambda i: i.sign(i.claims(exp=None)),
    "exp as text": lambda i: i.sign(i.claims(exp=str(now() + 600))),
    "without iat": lambda i: i.sign(i.claims(iat=None)),
    "iat in the future": lambda i: i.sign(i.claims(iat=now() + 120)),
    "nbf in the future": lambda i: i.sign(i.claims(nbf=now() + 120)),
    "lives over an hour": lambda i: i.sign(i.claims(exp=now() + 3700)),
    "wrong audience": lambda i: i.sign(i.claims(aud="other")),
    "without audience": lambda i: i.sign(i.claims(aud=None)),
    "wrong issuer": lambda i: i.sign(i.claims(iss=ISSUER + "/")),
    "without issuer": lambda i: i.sign(i.claims(iss=None)),
    "without subject": lambda i: i.sign(i.claims(sub=None)),
    "empty subject": lambda i: i.sign(i.claims(sub="")),
    "alg none": lambda i: forged({"alg": "none", "typ": "JWT", "kid": "rsa"}, i.claims()),
    "hmac with the public key": signed_with_public_key,
    "alg of another key type": lambda i: i.sign(i.claims(), key=i.ec, alg="ES256", kid="rsa"),
    "alg that is not configured": lambda i: i.sign(i.claims(), alg="PS256"),
    "signature of another key": lambda i: i.sign(
        i.claims(), key=rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ),
    "altered signature": other_signature,
    "unknown kid": lambda i: i.sign(i.claims(), kid="other"),
    "long kid": lambda i: i.sign(i.claims(), kid="r" * 129),
    "without kid": lambda i: jwt.encode(i.claims(), i.rsa, algorithm="RS256"),
    "own key in the header": lambda i: i.sign(i.claims(), kid="x", jwk=i.jwks()["keys"][0]),
    "crit": lambda i: i.sign(i.claims(), crit=["exp"]),
    "b64": lambda i: i.sign(i.claims(), b64=True, crit=["b64"]),
    "wrong typ": lambda i: i.sign(i.claims(), typ="dpop+jwt"),
    "9 KiB": lambda i: i.sign(i.claims(filler="x" * 9000)),
    "tenant and platform": lambda i: i.sign(i.claims(platform=True)),
    "neither tenant nor platform": lambda i: i.sign(i.claims(tenant_id=None)),
    "platform false and no tenant": lambda i: i.sign(i.claims(tenant_id=None, platform=False)),
    "platform as text": lambda i: i.sign(i.claims(tenant_id=None, platform="true")),
    "tenant outside the grammar": lambda i: i.sign(i.claims(tenant_id="*")),
    "tenant that is no text": lambda i: i.sign(i.claims(tenant_id=7)),
    "permissions as text": lambda i: i.sign(i.claims(permissions="secrets:read")),
    "a claim twice": twice,
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_wrong_bearer_is_refused(
    name: str, issuer: Issuer, authenticator: Authenticator
) -> None:
    """One text for every cause, while a good bearer passes the same authenticator."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyJWT warns of what is wrong with these tokens
        token = REFUSED[name](issuer)

    with pytest.raises(ProblemError) as refused:
        await authenticator.authenticate(bearer(token))

    assert refused.value.code == "invalid_token"
    assert refused.value.headers == ((b"www-authenticate", b'Bearer error="invalid_token"'),)
    assert await authenticator.authenticate(bearer(issuer.sign(issuer.claims())))


@pytest.mark.parametrize("headers", [[], [(b"authorization", b"Basic YTpi")]])
async def test_no_bearer_is_told_from_a_wrong_one(
    headers: Headers, authenticator: Authenticator
) -> None:
    """RFC 6750, 3.1: who sent no bearer is told the scheme, and of no error."""
    with pytest.raises(ProblemError) as refused:
        await authenticator.authenticate(headers)

    assert refused.value.headers == ((b"www-authenticate", b"Bearer"),)


async def test_two_authorization_headers_are_refused(
    issuer: Issuer, authenticator: Authenticator
) -> None:
    """A proxy in front may have looked at the other one."""
    good = bearer(issuer.sign(issuer.claims()))

    with pytest.raises(ProblemError):
        await authenticator.authenticate(good * 2)


@pytest.mark.parametrize(("kid", "alg"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
async def test_each_default_algorithm_is_accepted(
    kid: str, alg: str, issuer: Issuer, authenticator: Authenticator
) -> None:
    """RS256, ES256 and EdDSA, each with the key of its type; `typ` in either spelling."""
    token = issuer.sign(issuer.claims(), key=getattr(issuer, kid), alg=alg, kid=kid, typ="at+JWT")

    principal = await authenticator.authenticate(bearer(token))

    assert principal.tenant == TenantId("acme")
    assert principal.subject == "somebody"
    assert principal.permissions == {Permission.READ}


def test_only_what_is_named_is_granted(api_config: ApiConfig, issuer: Issuer) -> None:
    """Wildcards, unknown words and things that are no text grant nothing."""
    claims = issuer.claims(
        permissions=["secrets:*", "*", "secrets:write", "SECRETS:READ", 7, None, ["secrets:admin"]]
    )

    assert principal_of(claims, api_config).permissions == {Permission.WRITE}
    assert principal_of(issuer.claims(permissions=None), api_config).permissions == frozenset()


def test_an_audience_may_be_one_of_several(api_config: ApiConfig, issuer: Issuer) -> None:
    """RFC 7519, 4.1.3: a list that contains ours."""
    assert principal_of(issuer.claims(aud=["x", AUDIENCE]), api_config)


def test_leeway_is_for_what_begins_and_not_for_what_ends(
    api_config: ApiConfig, issuer: Issuer
) -> None:
    """30 s for `iat` and `nbf`, none for `exp`."""
    claims = issuer.claims(iat=1000, nbf=1000, exp=2000)

    assert principal_of(claims, api_config, now=lambda: 971.0)
    assert principal_of(claims, api_config, now=lambda: 1999.0)
    for moment in (969.0, 2000.0):
        with pytest.raises(ProblemError):
            principal_of(claims, api_config, now=lambda moment=moment: moment)


async def test_a_verified_bearer_is_remembered_until_the_keys_change(
    tmp_path: Path, api_config: ApiConfig, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time costs no verification; a new key file forgets everything."""
    file = issuer.write(tmp_path / "jwks.json")
    keys = FileKeys(file)
    await keys.open()
    authenticator = Authenticator(api_config, keys)
    token = issuer.sign(issuer.claims())
    await authenticator.authenticate(bearer(token))
    monkeypatch.setattr(auth, "_jws", None)

    assert await authenticator.authenticate(bearer(token))

    monkeypatch.undo()
    Issuer().write(file)
    os.utime(file, (1, 1))
    monkeypatch.setattr("greenlang_secrets_api.key_sources.FILE_CHECK", 0.0)
    with pytest.raises(ProblemError):
        await authenticator.authenticate(bearer(token))


async def test_a_remembered_bearer_expires(
    authenticator: Authenticator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is remembered until `exp` and for 30 s at most."""
    token = bearer(issuer.sign(issuer.claims(exp=int(time.time()) + 10)))
    await authenticator.authenticate(token)
    later = time.monotonic() + 11, time.time() + 11
    monkeypatch.setattr("greenlang_secrets_api.auth.time.monotonic", lambda: later[0])
    monkeypatch.setattr("greenlang_secrets_api.auth.time.time", lambda: later[1])

    # `principal_of` has its clock as a default, so it must be given the later one too.
    monkeypatch.setattr(auth, "principal_of", lambda c, k: principal_of(c, k, now=lambda: later[1]))

    with pytest.raises(ProblemError):
        await authenticator.authenticate(token)


async def test_the_memory_of_bearers_is_bounded(
    authenticator: Authenticator, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes first."""
    monkeypatch.setattr(auth, "CACHE_ENTRIES", 2)

    for number in range(3):
        await authenticator.authenticate(bearer(issuer.sign(issuer.claims(sub=str(number)))))

    assert [known.principal.subject for known in authenticator._known.values()] == ["1", "2"]


def test_keys_that_cannot_be_trusted_are_left_out(issuer: Issuer) -> None:
    """Short RSA keys, symmetric ones, those for encryption, and those without an id."""
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    good = issuer.jwks()["keys"]
    document = {
        "keys": [
            {**jwt.algorithms.RSAAlgorithm.to_jwk(short.public_key(), as_dict=True), "kid": "s"},
            {"kty": "oct", "k": b64(b"x" * 32), "kid": "oct"},
            {**good[0], "kid": "enc", "use": "enc"},
            {**good[0], "kid": "hs", "alg": "HS256"},
            {**good[0], "kid": ""},
            {**good[1], "kid": "curve", "crv": "secp256k1"},
            "nonsense",
            *good,
        ]
    }

    assert set(parse_jwks(json.dumps(document).encode())) == {"rsa", "ec", "ed"}


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"keys": {}}', b'{"keys": []}', b"\xff"])
def test_what_is_no_jwks_is_refused(raw: bytes) -> None:
    """A document without a usable key is an error, not an issuer that trusts nobody."""
    with pytest.raises(JwksError):
        parse_jwks(raw)
